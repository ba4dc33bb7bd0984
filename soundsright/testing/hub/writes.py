"""The writes of the fake hub: create, preupload, LFS batch, upload and commit, as in the API of the Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from soundsright.testing.hub.repositories import HubRepository, HubServer


@dataclass(frozen=True)
class WriteReply:
    """The HTTP status and the JSON document of a reply."""

    status: int
    document: dict[str, Any]


def reply_to_write(hub: HubServer, path: str, query: str, body: bytes) -> WriteReply | None:
    """The reply to a POST or PUT, or None if the hub has no such path.

    Data sets are stored as `datasets/namespace/name`. Each commit replaces `main`.
    """
    if path == "/api/repos/create":
        return _create(hub, json.loads(body))
    if path == "/api/validate-yaml":
        # The hub checks the head of a model card before it accepts the card.
        headed = json.loads(body)["content"].startswith("---\n")
        return WriteReply(200, {"errors": [] if headed else [{"message": "no metadata"}], "warnings": []})
    if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/settings", path):
        if match[1] not in hub.repositories:
            return WriteReply(404, {})
        hub.repositories[match[1]].private = json.loads(body)["visibility"] == "private"
        return WriteReply(200, {})
    if re.fullmatch(r"/api/(?:models/|datasets/)[^/]+/[^/]+/preupload/main", path):
        files = json.loads(body)["files"]
        return WriteReply(200, {"files": [_upload_mode(file) for file in files]})
    if re.fullmatch(r"/(?:datasets/)?[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
        objects = [
            {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        return WriteReply(200, {"transfer": "basic", "objects": objects})
    if match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
        assert hashlib.sha256(body).hexdigest() == match[1]
        hub.lfs[match[1]] = body
        return WriteReply(200, {})
    if match := re.fullmatch(r"/api/(?:models/|(datasets)/)([^/]+/[^/]+)/commit/main", path):
        return _commit(hub, "/".join(part for part in match.groups() if part), query, body)
    return None


def _create(hub: HubServer, request: dict[str, Any]) -> WriteReply:
    kind = "datasets/" if request.get("type") == "dataset" else ""
    name = f"{kind}{request['organization']}/{request['name']}"
    status = 409 if name in hub.repositories else 200
    hub.repositories.setdefault(name, HubRepository({"main": {}}, private=bool(request.get("private"))))
    return WriteReply(status, {"url": f"{hub.url}/{name}"})


def _upload_mode(file: dict[str, Any]) -> dict[str, Any]:
    binary = file["path"].endswith((".flac", ".wav", ".zip"))
    return {"path": file["path"], "uploadMode": "lfs" if binary else "regular", "shouldIgnore": False}


def _commit(hub: HubServer, name: str, query: str, body: bytes) -> WriteReply:
    repository = hub.repositories.get(name)
    if repository is None:
        return WriteReply(404, {})
    files = dict(repository.commits.get("main", {}))
    for line in body.splitlines():
        operation = json.loads(line)
        key, value = operation["key"], operation["value"]
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            files[value["path"]] = hub.lfs[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]
    commit = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    repository.commits[commit] = files
    document = {"commitUrl": f"{hub.url}/{name}/commit/{commit}", "commitOid": commit, "hookOutput": ""}
    if "create_pr=1" in query:
        return WriteReply(200, document | {"pullRequestUrl": f"{hub.url}/{name}/discussions/1"})
    repository.commits["main"] = files
    return WriteReply(200, document)
