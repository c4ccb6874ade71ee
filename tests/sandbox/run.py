#!/usr/bin/env python3
"""Replays what the facts files say against grantd-sandbox: run.py PROGRAM FILE.json [CASE...]

A file is one platform's:
  platform   the sandbox's name of it
  clock      Unix seconds at which every case begins; the clock stands still but for "advance"
  world      members that take the place of the default world's, in every case
  templates  {"data": {"code": 0, ..., "data": "$"}}: an expectation {"data": X} means this, with X for "$"
  cases      [{"name", "cites": "tiktok.md 7.1", "world": {}, "options": {}, "next": {"token": [...]}, "steps": []}]
A step is one of
  {"GET": "https://HOST/PATH?QUERY", "headers": {}, "json": {} | "form": "raw text" | "body": "text",
   "expect": {"status": 200, "json": X | "text": T | template: X, "headers": {"Location": "..."}, "dropped": true}}
  {"act": {}} {"fault": {}} {"option": {}}   posted to /_sandbox/ with the platform; "refused": true expects a no
  {"advance": seconds} {"set": unix seconds} {"forget": true}: switches all faults off
  {"log": {"match": GLOB, "count": N}}       how many requests the sandbox saw
In what is expected "*" is anything, "~RE" a text that matches whole, "=name" anything that is kept as ${name} for
later steps; an object with the member "...": true may have more members than those named.
"""
import http.client
import json
import re
import subprocess
import sys
import urllib.parse

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")


class Wrong(Exception):
    pass


class Sandbox:
    def __init__(self, program):
        self.process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--seed", "1", "--hold-clock"],
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "listens on" not in line:
            raise SystemExit(f"grantd-sandbox did not start: {line!r}")
        self.port = int(line.strip().rpartition(":")[2])

    def call(self, method, path, headers=None, body=None):
        """(status, headers as list, body as bytes); None when the connection was closed without an answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.putrequest(method, path, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                link.putheader(name, value)
            if body is not None:
                link.putheader("Content-Length", str(len(body)))
            link.endheaders(body)
            answer = link.getresponse()
            try:
                data = answer.read()
            except http.client.IncompleteRead as cut:
                return answer.status, answer.getheaders(), b"CUT " + cut.partial
            return answer.status, answer.getheaders(), data
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None
        finally:
            link.close()

    def control(self, method, path, args=None):
        body = None if args is None else json.dumps(args).encode()
        answer = self.call(method, "/_sandbox" + path, {}, body)
        return answer[0], json.loads(answer[2])

    def order(self, path, args):
        status, said = self.control("POST", path, args)
        if status != 200:
            raise Wrong(f"/_sandbox{path} {json.dumps(args)}: {status} {said}")
        return said

    def stop(self):
        self.process.terminate()
        if self.process.wait(20) != 0:
            raise SystemExit(f"grantd-sandbox ended with {self.process.returncode}")


def same(want, have, kept, where="answer"):
    """Raises Wrong at the first difference."""
    if isinstance(want, str):
        if want == "*":
            return
        if want.startswith("="):
            kept[want[1:]] = have
            return
        if want.startswith("~"):
            if not isinstance(have, str) or not re.fullmatch(want[1:], have):
                raise Wrong(f"{where}: {have!r} does not match {want[1:]!r}")
            return
    if isinstance(want, dict) and isinstance(have, dict):
        more = want.get("...", False)
        for name in want:
            if name != "...":
                if name not in have:
                    raise Wrong(f"{where}: has no {name}: {json.dumps(have)[:600]}")
                same(want[name], have[name], kept, f"{where}.{name}")
        extra = set(have) - set(want)
        if extra and not more:
            raise Wrong(f"{where}: has {sorted(extra)} too")
        return
    if isinstance(want, list) and isinstance(have, list):
        if len(want) != len(have):
            raise Wrong(f"{where}: has {len(have)} members, wanted {len(want)}: {json.dumps(have)[:600]}")
        for at, one in enumerate(want):
            same(one, have[at], kept, f"{where}[{at}]")
        return
    if type(want) is not type(have) and not (isinstance(want, (int, float)) and isinstance(have, float)):
        raise Wrong(f"{where}: {json.dumps(have)[:600]} is not of the kind of {json.dumps(want)[:600]}")
    if want != have:
        raise Wrong(f"{where}: {json.dumps(have)[:600]}, wanted {json.dumps(want)[:600]}")


def filled(value, put):
    """value with put in every place of "$"."""
    if value == "$":
        return put
    if isinstance(value, dict):
        return {name: filled(one, put) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, put) for one in value]
    return value


def expanded(value, kept):
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda m: str(kept[m.group(1)]), value)
    if isinstance(value, dict):
        return {name: expanded(one, kept) for name, one in value.items()}
    if isinstance(value, list):
        return [expanded(one, kept) for one in value]
    return value


class File:
    def __init__(self, name, program):
        with open(name, encoding="utf-8") as f:
            self.data = json.load(f)
        self.platform = self.data["platform"]
        self.sandbox = Sandbox(program)

    def prepare(self, case):
        box = self.sandbox
        box.order("/reset", {})
        world = {**self.data.get("world", {}), **case.get("world", {}), "next": case.get("next", {}),
                 "options": {**self.data.get("options", {}), **case.get("options", {})}}
        box.order("/world", {"platform": self.platform, "world": world})
        box.order("/clock", {"set": case.get("clock", self.data.get("clock", 1795252800))})

    def request(self, step, kept):
        method = next(m for m in METHODS if m in step)
        where = expanded(step[method], kept)
        headers = {name: expanded(value, kept) for name, value in step.get("headers", {}).items()}
        body = None
        if "json" in step:
            body = json.dumps(expanded(step["json"], kept)).encode()
            headers.setdefault("Content-Type", "application/json")
        elif "form" in step:
            body = expanded(step["form"], kept).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif "body" in step:
            body = expanded(step["body"], kept).encode()
        if where.startswith("/"):  # a page of the sandbox itself
            path = where
        else:
            path = "/" + where.partition("://")[2]
        return self.sandbox.call(method, path, headers, body)

    def check(self, want, got, kept):
        if want.get("dropped"):
            if got is not None:
                raise Wrong(f"was answered {got[0]}, not dropped")
            return
        if got is None:
            raise Wrong("the connection was closed without an answer")
        status, headers, body = got
        text = body.decode("utf-8", "replace")
        if status != want.get("status", 200):
            raise Wrong(f"status {status}, wanted {want.get('status', 200)}: {text[:600]}")
        lower = {name.lower(): value for name, value in headers}
        for name, value in want.get("headers", {}).items():
            same(value, lower.get(name.lower()), kept, f"header {name}")
        if "text" in want:
            same(want["text"], text, kept, "body")
        expected = [want["json"]] if "json" in want else []
        expected += [filled(t, want[name]) for name, t in self.data.get("templates", {}).items() if name in want]
        for one in expected:
            try:
                have = json.loads(text)
            except ValueError:
                raise Wrong(f"the answer is no JSON: {text[:600]}") from None
            same(expanded(one, kept), have, kept)

    def step(self, step, kept):
        box = self.sandbox
        if "advance" in step or "set" in step:
            box.order("/clock", {k: step[k] for k in ("advance", "set") if k in step})
        elif "forget" in step:
            box.control("DELETE", "/faults")
        elif "log" in step:
            query = urllib.parse.urlencode({"platform": self.platform, "match": step["log"]["match"]})
            seen = box.control("GET", "/log?" + query)[1]["requests"]
            if len(seen) != step["log"]["count"]:
                raise Wrong(f"{len(seen)} requests were seen, wanted {step['log']['count']}")
        elif set(step) & {"act", "fault", "option"}:
            name = next(n for n in ("act", "fault", "option") if n in step)
            args = {"platform": self.platform, **expanded(step[name], kept)}
            status, said = box.control("POST", "/" + name, args)
            if (status != 200) != bool(step.get("refused")):
                raise Wrong(f"/_sandbox/{name} {json.dumps(args)}: {status} {said}")
            if "expect" in step:
                same(step["expect"], said, kept)
        else:
            if "expect" not in step:
                raise Wrong("a request without an expectation tests nothing")
            self.check(step["expect"], self.request(step, kept), kept)

    def case(self, case):
        kept = {}
        self.prepare(case)
        for at, step in enumerate(case["steps"], 1):
            try:
                self.step(step, kept)
            except Wrong as wrong:
                raise Wrong(f"step {at} {json.dumps(step)[:300]}\n      {wrong}") from None


def main():
    one = File(sys.argv[2], sys.argv[1])
    bad = 0
    try:
        names = [case["name"] for case in one.data["cases"]]
        if len(set(names)) != len(names):
            raise SystemExit("two cases have the same name")
        for case in one.data["cases"]:
            if len(sys.argv) > 3 and case["name"] not in sys.argv[3:]:
                continue
            if not re.match(r"[\w.]+\.md \S", case.get("cites", "")) or not case["steps"]:
                raise SystemExit(f"{case['name']}: cites no line of the facts, or has no steps")
            try:
                one.case(case)
                print(f"ok   {case['name']}")
            except Wrong as wrong:
                bad += 1
                print(f"FAIL {case['name']} ({case['cites']})\n   {wrong}")
    finally:
        one.sandbox.stop()
    print(f"{len(names)} cases, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
