#!/usr/bin/env bash
# dicomweb-client leaves the port out of the Host header, so servers answer with addresses that lead nowhere.
#
# Expected: a request to http://127.0.0.1:8042 says `Host: 127.0.0.1:8042`, as every HTTP client does.
# Happens:  search_for_*, retrieve_* and small store_instances say `Host: 127.0.0.1`; the streaming iter_* say it with the port. A
#           server that makes RetrieveURL and BulkDataURI of the Host header then gives addresses without the port, and following
#           them fails. Orthanc 1.10.1 with its DICOMweb plug-in 1.7 does so, and is right: asked by curl, it tells the port.
# Versions: dicomweb-client 0.61.2 with requests 2.34.2.
# Matters:  it looks like a fault of the server, and behind a proxy that tells services apart by host and port, requests go astray.
# Instead:  build addresses from the service's own URL and the UIDs, and do not follow those that an answer names; or drop the
#           header in a requests.Session of your own, as below.
# Source:   RFC 9110, 7.2 (Host: the port is part of it unless it is the scheme's own); dicomweb_client/web.py, `headers['Host']`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 pydicom==3.0.2 requests==2.34.2 dicomweb-client==0.61.2

no_proxy=127.0.0.1 venv/bin/python - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
from dicomweb_client.api import DICOMwebClient


class Handler(BaseHTTPRequestHandler):
    """Tells where the study lies by the Host header, as servers do."""

    def do_GET(self) -> None:
        place = f"http://{self.headers['Host']}/dicom-web/studies/1.2.3"
        content = json.dumps([{"00081190": {"vr": "UR", "Value": [place]}}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


class WithPort(requests.Session):
    """Lets requests itself write the Host header."""

    def request(self, method, url, **options):  # type: ignore[no-untyped-def]
        options["headers"] = {k: v for k, v in (options.get("headers") or {}).items() if k != "Host"}
        return super().request(method, url, **options)


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/dicom-web"
found = {}
for name, session in (("as it comes", None), ("with a session of one's own", WithPort())):
    [study] = DICOMwebClient(url, session=session).search_for_studies()
    found[name] = study["00081190"]["Value"][0].replace(str(server.server_port), "PORT")
    print(f"{name}: the server at http://127.0.0.1:PORT says {found[name]}")
server.shutdown()
if found != {
    "as it comes": "http://127.0.0.1/dicom-web/studies/1.2.3",
    "with a session of one's own": "http://127.0.0.1:PORT/dicom-web/studies/1.2.3",
}:
    raise SystemExit(f"CHANGED: {found}")
print("HOLDS: the Host header lacks the port")
PYTHON
