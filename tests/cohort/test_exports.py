import subprocess
import sys

import semivox.cohort


def test_every_public_name_is_there():
    for name in semivox.cohort.__all__:
        assert getattr(semivox.cohort, name).__name__ == name


def test_the_room_loads_no_torch_and_its_types_no_decoder():
    code = (
        "import sys; from semivox.cohort import Volume, Cohort; "
        "assert not {'SimpleITK', 'nibabel', 'torch'} & set(sys.modules), 'types'; "
        "import semivox.cohort.check, semivox.commands.check; "
        "assert 'torch' not in sys.modules and 'rich' not in sys.modules, 'check'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
