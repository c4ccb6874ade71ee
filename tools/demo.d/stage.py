"""What the walks of tools/demo stand on: lines that tell, checks that hold, one grantd in a folder of its own, grantctl."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "servers"))
import start  # noqa: E402

BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Wrong(Exception):
    """A step did not end as it must."""


class Stage:
    """One walk: a folder, the servers in it, and steps that are numbered through all walks."""
    number = 0

    def __init__(self, build, where=None):
        self.build = os.path.join(ROOT, build)
        self.folder = tempfile.mkdtemp(prefix="grantd-demo-", dir=where)
        self.socket = os.path.join(self.folder, "grantd.sock")
        self.config = os.path.join(self.folder, "grantd.yaml")
        self.children, self.daemon, self.arguments = [], None, []

    # -- telling

    @staticmethod
    def part(text):
        print(f"\n{BOLD}== {text} =={PLAIN}", flush=True)

    @staticmethod
    def step(text):
        Stage.number += 1
        print(f"\n{BOLD}{Stage.number:2}. {text}{PLAIN}", flush=True)

    @staticmethod
    def say(text):
        for line in str(text).rstrip().split("\n"):
            print(f"      {line}", flush=True)

    @staticmethod
    def must(held, text):
        if not held:
            raise Wrong(text)

    def wait(self, what, seconds, text):
        end = time.monotonic() + seconds
        while not what():
            self.must(time.monotonic() < end, text)
            time.sleep(0.05)

    # -- grantctl, as a person types it

    def grantctl(self, *args, show=False):
        """The answer of grantctl as JSON; show: what a person sees is printed too."""
        command = [self.find("grantctl"), "--socket", self.socket, *args]
        if show:
            self.say("$ grantctl " + " ".join(f"'{a}'" if " " in a else a for a in args))
            seen = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.say(seen.stdout)
            self.must(seen.returncode == 0, f"grantctl {' '.join(args)} ended with {seen.returncode}")
            return seen.stdout
        done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.must(done.returncode == 0, f"grantctl {' '.join(args)}: {done.stderr}{done.stdout}")
        return json.loads(done.stdout)

    def takes(self, *args):
        """Does grantd do that, or refuse it?"""
        return subprocess.run([self.find("grantctl"), "--socket", self.socket, *args], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def find(self, name):
        path = os.path.join(self.build, "bin", name)
        if os.access(path, os.X_OK):
            return path
        for folder, _, names in os.walk(self.build):
            path = os.path.join(folder, name)
            if name in names and os.access(path, os.X_OK):
                return path
        raise Wrong(f"{name} is not built in {self.build}")

    # -- the pieces

    @staticmethod
    def free_port():
        return start.free_port()

    def secret(self, name, value):
        """A secret lies in a file of its own, never in the configuration."""
        path = os.path.join(self.folder, name + ".secret")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(value)
        return os.path.basename(path)

    def configure(self, port, more, public_url=None):
        """more: what this walk adds to what all of them need."""
        self.write_config(f"""listen: 127.0.0.1:{port}
public_url: {public_url or f"http://127.0.0.1:{port}"}
state_dir: {self.folder}/state
socket: {self.socket}
platform_dir: {self.build}/platforms
{more}""")

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.config, 0o644)

    def start_daemon(self):
        log = open(os.path.join(self.folder, "grantd.log"), "ab")
        self.daemon = subprocess.Popen([self.find("grantd"), "--config", self.config, "--own-platforms", *self.arguments],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       start_new_session=True, preexec_fn=start.die_with_parent)
        ready = threading.Event()

        def read(stream):
            for line in stream:
                log.write(line)
                log.flush()
                if b'"ready"' in line:
                    ready.set()
            log.close()
            ready.set()
        threading.Thread(target=read, args=(self.daemon.stdout,), daemon=True).start()
        self.must(ready.wait(20) and self.daemon.poll() is None, "grantd did not get ready")

    def kill_daemon(self):
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def log_tail(self, size=2500):
        path = os.path.join(self.folder, "grantd.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()[-size:]

    def clean(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(15)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for child in self.children:
            child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
