#!/usr/bin/env bash
# dicomweb-client takes a DICOMweb answer that broke off for a whole one: the last image is cut, or images are missing.
#
# Expected: an answer that ends before its closing boundary raises.
# Happens:  what came so far is returned. Of three images, the third has 5202 of its 8192 bytes of pixels, or only two come; neither
#           raises nor warns, with retrieve_series and with iter_series. HTTP does not notice either: a server that does not know
#           the length beforehand (Orthanc for a series) ends its answer by closing the connection, which is also how one breaks off.
# Versions: dicomweb-client 0.61.2 with requests 2.34.2 and pydicom 3.0.2.
# Matters:  a series without its last planes is a shorter organ; a plane that is cut fails later, where nobody thinks of the network.
# Instead:  compare the UIDs that came with those that the server lists (QIDO-RS), and the length of PixelData with rows, columns and
#           bits; or read the parts up to the closing boundary `--BOUNDARY--` (RFC 2046), without which the answer is not whole.
# Source:   DICOM PS3.18, 8.6.1.2.1 (multipart/related), RFC 2046, 5.1.1 (the close delimiter is part of the body).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pydicom==3.0.2 requests==2.34.2 dicomweb-client==0.61.2

no_proxy=127.0.0.1 venv/bin/python - <<'PYTHON'
import io
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

STUDY, SERIES = "1.2.3", "1.2.4"


def image(number: int) -> bytes:
    """A plane of 64 x 64 pixels, as a file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"1.2.5.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plane = FileDataset("plane", {}, file_meta=meta, preamble=bytes(128))
    plane.SOPClassUID, plane.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    plane.StudyInstanceUID, plane.SeriesInstanceUID, plane.InstanceNumber = STUDY, SERIES, number
    plane.Rows, plane.Columns, plane.SamplesPerPixel, plane.PhotometricInterpretation = 64, 64, 1, "MONOCHROME2"
    plane.BitsAllocated, plane.BitsStored, plane.HighBit, plane.PixelRepresentation = 16, 16, 15, 0
    plane.PixelData = np.full((64, 64), number, np.uint16).tobytes()
    content = io.BytesIO()
    plane.save_as(content, enforce_file_format=True)
    return content.getvalue()


parts = [b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + image(number) + b"\r\n" for number in (1, 2, 3)]
whole = b"".join(parts) + b"--XX--\r\n"
answer = whole


class Handler(BaseHTTPRequestHandler):
    """Sends ``answer`` and closes the connection, as a server does that streams a series."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=XX')
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = DICOMwebClient(f"http://127.0.0.1:{server.server_port}/dicom-web")


def seen(name: str, content: bytes) -> list[int]:
    """The bytes of pixels of each image that comes."""
    global answer
    answer = content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [len(dataset.PixelData) for dataset in getattr(client, name)(STUDY, SERIES)]


expected = {
    "whole": [8192, 8192, 8192],
    "cut within the third image": [8192, 8192, 5202],
    "cut behind the second image": [8192, 8192],
}
contents = (whole, whole[:-3000], b"".join(parts[:2]))
found = {}
for name in ("retrieve_series", "iter_series"):
    for (what, _), content in zip(expected.items(), contents, strict=True):
        found[name, what] = seen(name, content)
        print(f"{name}, answer {what}: images with {', '.join(map(str, found[name, what]))} bytes of pixels, no error")
server.shutdown()
if found != {(name, what): sizes for name in ("retrieve_series", "iter_series") for what, sizes in expected.items()}:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: an answer that broke off passes for a whole one")
PYTHON
