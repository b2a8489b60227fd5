"""A small Hugging Face hub on a local port: repositories, preupload, LFS and commits, as huggingface_hub asks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def _upload_mode(file: dict) -> dict:
    """Say how a file is to be uploaded: weights as a blob, all else in the commit."""
    mode = "lfs" if file["path"].endswith(".safetensors") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


class Hub:
    """What the server holds and has seen."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.url = ""
        self.private: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.refused: set[str] = set()
        """Repositories that may not be written."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Answer a request as (status, JSON)."""
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if re.fullmatch(r"/api/models/(.+)/preupload/main", path):
            return 200, {"files": [_upload_mode(file) for file in json.loads(body)["files"]]}
        if re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            objects = [self._upload_action(blob) for blob in json.loads(body)["objects"]]
            return 200, {"transfer": "basic", "objects": objects}
        if path.startswith("/blob/") and method == "PUT":
            oid = path.rsplit("/", 1)[1]
            assert hashlib.sha256(body).hexdigest() == oid
            self.blobs[oid] = body
            return 200, {}
        commit = re.fullmatch(r"/api/models/(.+)/commit/main", path)
        if commit:
            return self._commit(commit[1], body)
        return 404, {"error": f"no such place: {method} {path}"}

    def _create(self, request: dict) -> tuple[int, object]:
        repo = request["name"]
        if request.get("organization"):
            repo = f"{request['organization']}/{repo}"
        if repo in self.refused:
            return 403, {"error": f"You may not write {repo}"}
        if repo in self.private:
            return 409, {"error": "You already created this model repo", "url": f"{self.url}/{repo}"}
        self.private[repo] = request.get("private", request.get("visibility") == "private")
        self.files[repo] = {}
        return 200, {"url": f"{self.url}/{repo}", "name": repo, "id": repo}

    def _upload_action(self, blob: dict) -> dict:
        return blob | {"actions": {"upload": {"href": f"{self.url}/blob/{blob['oid']}"}}}

    def _commit(self, repo: str, body: bytes) -> tuple[int, object]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[repo][value["path"]] = self.blobs[value["oid"]]
        self.commits.append(repo)
        url = f"{self.url}/{repo}/commit/1"
        return 200, {"success": True, "commitOid": f"{len(self.commits):040}", "commitUrl": url}


@contextmanager
def serve(token: str) -> Iterator[Hub]:
    hub = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.split("?")[0]
            signed = path.startswith("/blob/") or self.headers.get("Authorization") == f"Bearer {hub.token}"
            status, told = hub.answer(self.command, path, body) if signed else (401, {"error": "Invalid token"})
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _handle

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
