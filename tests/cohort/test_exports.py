import subprocess
import sys

import semivox.cohort


def test_every_public_name_is_there():
    for name in semivox.cohort.__all__:
        found = getattr(semivox.cohort, name)
        # a table (written in capitals) or an alias has no name of its own
        aliases = "LabeledSet", "Progress"
        assert getattr(found, "__name__", None) == name or name.isupper() or name in aliases


def test_the_room_loads_no_torch_and_its_types_no_decoder():
    code = (
        "import sys; from semivox.cohort import Volume, Cohort; "
        "assert not {'SimpleITK', 'nibabel', 'torch'} & set(sys.modules), 'types'; "
        "import semivox.cohort.check, semivox.commands.check; "
        "assert 'torch' not in sys.modules and 'rich' not in sys.modules, 'check'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
