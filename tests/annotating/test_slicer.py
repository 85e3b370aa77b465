"""MONAILabel's own Python client, in a folder of its own, works with the server as with MONAILabel's."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from semivox.annotating import Desk, exchange
from semivox.annotating.book import Reader
from semivox.annotating.drawn import Drawn
from semivox.annotating.multipart import Part, compose, parse
from semivox.annotating.refusals import NotWanted

CLIENT = (
    "monailabel==0.8.5",
    "requests==2.34.2",
    "urllib3==2.8.0",
    "idna==3.20",
    "certifi",
    "charset-normalizer",
)
SCRIPT = """
import json, sys
from monailabel.client import MONAILabelClient, client
import nibabel as nib, numpy as np
url, folder, scan_file = sys.argv[1:4]
c = MONAILabelClient(url, tmpdir=folder, client_id="slicer-of-anna")
told = {"info": c.info(), "sample": c.next_sample("rank", {})}
scan = told["sample"]["id"]
file, params = c.infer("semivox", scan, {})
told["params"], told["mask"] = params, file
mask = nib.load(file)
drawn = np.zeros(mask.shape, np.uint8)
drawn[1:4, 2:5, 3] = 1
drawn[5, 5, 5] = 2
nib.save(nib.Nifti1Image(drawn, mask.affine), folder + "/mine.nii.gz")
names = [{"name": "right", "idx": 1}, {"name": "Left", "idx": 2}]
told["saved"] = c.save_label(scan, folder + "/mine.nii.gz", "final", {"label_info": names})
told["label"] = c.download_label(scan, "final")
told["datastore"] = c.datastore()
told["running"] = c.train_status(check_if_running=True)
for bad, name in ((scan_file, "wrong.nii.gz"), (folder + "/mine.nii.gz", "mine.nii.gz")):
    other = MONAILabelClient(url, tmpdir=folder, client_id="slicer-of-ben")
    try:
        other.save_label(scan, bad, "", {"label_info": names})
        told[name] = "saved"
    except client.MONAILabelClientException as error:
        told[name] = error.msg
print(json.dumps(told))
"""


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import the client from, without the packages that it pulls in."""
    if sys.version_info >= (3, 13):
        pytest.skip("MONAILabel's client reads answers with the module cgi, which Python no longer has")
    place = tmp_path_factory.mktemp("client")
    asked = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*asked, "--target", str(place), *CLIENT], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        pytest.skip(f"MONAILabel's client cannot be installed here: {done.stderr[-300:]}")
    return place


def test_monailabels_client_gets_a_scan_a_mask_and_saves_a_label(
    desk: Desk, served: Any, client_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "client").mkdir()
    with served(desk) as url:
        other = desk.data / "imagesTr/thick_0000.nii.gz"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, url, str(tmp_path / "client"), str(other)],
            capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(client_folder)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["info"]["models"]["semivox"]["labels"] == {"left": 3, "right": 7}
        assert list(told["info"]["strategies"]) == ["rank"]
        scan = told["sample"]["id"]
        assert (scan, told["sample"]["name"]) == ("flipped", "flipped_0000.nii.gz".replace("_0000", ""))
        np.testing.assert_array_equal(np.asanyarray(nib.load(told["mask"]).dataobj), desk.predicted(scan))
        assert told["params"]["label_names"] == {"left": 3, "right": 7}
        label = nib.load(desk.data / f"labelsTr/{scan}.nii.gz")
        want = np.zeros(label.shape)
        want[1:4, 2:5, 3], want[5, 5, 5] = 7, 3
        np.testing.assert_array_equal(np.asanyarray(label.dataobj), want)
        np.testing.assert_array_equal(
            label.affine, nib.load(desk.data / f"imagesTr/{scan}_0000.nii.gz").affine
        )
        assert Path(told["label"]).read_bytes() == (desk.data / f"labelsTr/{scan}.nii.gz").read_bytes()
        assert told["datastore"]["objects"][scan]["labels"]["tags"] == {"final": {"ext": "", "info": {}}}
        assert told["running"] is False
        assert f"{scan} is open with slicer-of-anna" in told["mine.nii.gz"]
        rows = desk.book.history(scan)
        assert [(row["reader"], row["state"]) for row in rows] == [("slicer-of-anna", "done")]
        served_scan = _get(url, f"/datastore/image?image={scan}")
        assert served_scan == (desk.data / f"imagesTr/{scan}_0000.nii.gz").read_bytes()


LOGIN = """
import json, sys
from monailabel.client import MONAILabelClient, client
import requests
url, program, token, folder = sys.argv[1:5]
def asks(c):
    try:
        names = c.infer("semivox", "thick", {})[1]["label_names"]
        return [c.next_sample("rank", {})["id"], len(c.datastore()["objects"]), names]
    except client.MONAILabelClientException as error:
        return error.msg
c = MONAILabelClient(url, tmpdir=folder, client_id="slicer")
told = {"enabled": c.auth_enabled(), "bare": asks(c), "valid before": c.auth_valid_token()}
try:
    c.auth_token("anna", token[:-1])
except client.MONAILabelClientException as error:
    told["wrong"] = error.msg
c.update_auth(c.auth_token("anna", token))
told["login"], told["valid"] = asks(c), c.auth_valid_token()
p = MONAILabelClient(program, tmpdir=folder, client_id="slicer")
told["path"] = asks(p)
# as Slicer's module fetches the scan: a plain download below the server's address
scan = "/datastore/image?image=thick"
told["download"] = [requests.get(at + scan).status_code for at in (url, program, program[:-1])]
print(json.dumps(told))
"""


def test_a_token_reaches_the_server_in_every_way_that_the_client_has(
    desk: Desk, served: Any, client_folder: Path, tmp_path: Path
) -> None:
    token = "a-token-of-anna-0123456789"
    with served(desk, token=token) as url:
        place = url.split("/?")[0]
        asked = [place, f"{place}/token/{token}", token, str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOGIN, *asked],
            capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(client_folder)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        good = ["flipped", len(desk.cases), {"left": 3, "right": 7}]
        assert (told["enabled"], told["valid before"], told["valid"]) == (True, False, True)
        assert "401" in told["bare"]
        assert "401" in told["wrong"]
        assert (told["login"], told["path"], told["download"]) == (good, good, [401, 200, 401])
        # the page, and what it asks for, is not reached by such an address
        for path in ("/", "/api/about", "/page/page.js"):
            link = http.client.HTTPConnection(place.split("//")[1], timeout=20)
            link.request("GET", f"/token/{token}{path}")
            assert link.getresponse().status == 401


def _get(url: str, path: str) -> bytes:
    link = http.client.HTTPConnection(url.split("//")[1].rstrip("/"), timeout=20)
    link.request("GET", path)
    return link.getresponse().read()


def _put(url: str, path: str, parts: dict[str, Part]) -> tuple[int, str]:
    body, kind = compose(parts)
    link = http.client.HTTPConnection(url.split("//")[1].rstrip("/"), timeout=20)
    link.request("PUT", path, body, {"content-type": kind})
    answer = link.getresponse()
    return answer.status, answer.read().decode()


def _nifti(array: np.ndarray, affine: np.ndarray) -> bytes:
    return bytes(nib.Nifti1Image(array, affine).to_bytes())


def test_what_is_no_label_of_the_scan_is_refused(desk: Desk, served: Any) -> None:
    affine = nib.load(desk.data / "imagesTr/thick_0000.nii.gz").affine
    shape = (14, 12, 10)
    right = np.full(shape, 3, np.uint8)
    params = Part(json.dumps({"label_info": [{"name": "spleen", "idx": 3}]}).encode())
    bad = {
        "another grid": ({"label": Part(_nifti(right, np.eye(4)), "x.nii")}, 400),
        "another shape": ({"label": Part(_nifti(right[1:], affine), "x.nii")}, 400),
        "another class": ({"label": Part(_nifti(right + 1, affine), "x.nii")}, 400),
        "another name": ({"label": Part(_nifti(right, affine), "x.nii"), "params": params}, 400),
        "another format": ({"label": Part(b"x", "x.exe")}, 400),
        "a path": ({"label": Part(_nifti(right, affine), "../../../../tmp/x.exe/")}, 400),
        "no label": ({"params": Part(b"{}")}, 400),
        "no JSON": ({"label": Part(_nifti(right, affine), "x.nii"), "params": Part(b"{")}, 400),
        "damaged": ({"label": Part(_nifti(right, affine)[:500], "x.nii")}, 400),
        "too much": ({"label": Part(bytes(2**21), "x.nii")}, 413),
    }
    with served(desk) as url:
        for what, (parts, status) in bad.items():
            assert _put(url, "/datastore/label?image=thick", parts)[0] == status, what
        assert _put(url, "/datastore/label?image=../thick", {"label": Part(b"x", "x.nii")})[0] == 404
        assert not (desk.data / "labelsTr/thick.nii.gz").exists()
        good = {"label": Part(_nifti(right, affine), "C:\\Users\\anna\\x.nii")}
        assert _put(url, "/datastore/label?image=thick", good)[0] == 200
        assert (desk.data / "labelsTr/thick.nii.gz").exists()
        # a label that the client was never handed is not overwritten
        assert (
            _put(url, "/datastore/label?image=known_a", {"label": Part(_nifti(right, np.eye(4)), "x.nii")})[0]
            == 409
        )


HANDED = {
    "as it was handed": ({3: "left", 7: "Right", 200: "ignore"}, (3, 7, 200)),
    "numbered anew": ({1: "right", 2: "left", 3: "Ignore"}, (2, 1, 3)),
    "in the page's words": ({3: "left", 7: "right", 200: "not looked at"}, (3, 7, 200)),
    "the classes alone": ({3: "left", 7: "right"}, (3, 7, 200)),
    "no names": ({}, (3, 7, 200)),
}


@pytest.mark.parametrize("way", HANDED)
def test_a_part_of_a_label_comes_back_as_it_was_handed(
    way: str, desk: Desk, readers: tuple[Reader, Reader]
) -> None:
    """What nobody looked at stays so, whatever the client calls it and whatever value it has there."""
    mask = np.random.default_rng(0).integers(0, 3, desk.opened("oblique").grid.shape).astype(np.uint8)
    desk.save("oblique", readers[0], "", mask.tobytes(order="F"), 1.0, Drawn(2, (3, 4)))
    found = exchange.label_file(desk, "oblique")
    assert found is not None
    handed = nib.Nifti1Image.from_bytes(gzip.decompress(found[0]))
    want = np.asanyarray(handed.dataobj)
    names, values = HANDED[way]
    sent = np.zeros(want.shape, np.uint8)
    for own, theirs in zip((3, 7, 200), values, strict=True):
        sent[want == own] = theirs
    back = exchange.read_sent(desk, "oblique", _nifti(sent, handed.affine), "x.nii", names)
    np.testing.assert_array_equal(back, want)
    assert set(np.unique(back)) == {0, 3, 7, 200}


def test_ignore_is_no_name_for_another_folder_or_class(data: Path, run: Path) -> None:
    """A named segment that is no class stays refused, also one of ignore's value."""
    affine = nib.load(data / "imagesTr/thick_0000.nii.gz").affine
    sent = _nifti(np.full((14, 12, 10), 200, np.uint8), affine)
    with pytest.raises(NotWanted, match=r"200: spleen.*left, right, ignore"):
        exchange.read_sent(Desk(run, data), "thick", sent, "x.nii", {200: "spleen"})
    about = json.loads((data / "dataset.json").read_text())
    del about["labels"]["ignore"]
    (data / "dataset.json").write_text(json.dumps(about))
    for names in ({200: "ignore"}, {3: "left"}):
        with pytest.raises(NotWanted, match="that the data folder has not"):
            exchange.read_sent(Desk(run, data), "thick", sent, "x.nii", names)


def test_a_form_is_read_as_it_was_written() -> None:
    parts = {"params": Part(b"{}"), "label": Part(bytes(range(256)) + b"\r\n--\r\n\n\r", "a.nii")}
    body, kind = compose(parts)
    assert parse(body, kind) == parts
    for broken, of in ((body[:-8], kind), (body, "text/plain"), (b"", kind), (body, kind[:-3])):
        with pytest.raises(NotWanted):
            parse(broken, of)
    assert io.BytesIO(body).read(2) == b"--"
