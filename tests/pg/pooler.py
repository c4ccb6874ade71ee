"""PgBouncer, as Debian has it, between a store and a cluster of the tests' own: in a folder and on a port of its own, as
the user of the cluster, ended whatever happens."""
import os
import shutil
import subprocess

from cluster import ROLE, die_with_parent, free_port
from start import wait_listening


class Pooler:
    def __init__(self, cluster, mode, port=None):
        """mode: "session" or "transaction"."""
        self.cluster, self.mode, self.port = cluster, mode, port or free_port()
        self.folder = os.path.join(cluster.folder, "pooler-" + mode)
        os.makedirs(self.folder, exist_ok=True)
        users, config = os.path.join(self.folder, "users"), os.path.join(self.folder, "pgbouncer.ini")
        with open(users, "w", encoding="utf-8") as file:
            file.write(f'"{ROLE}" ""\n')
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[databases]\n* = host={cluster.folder} port={cluster.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                       f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {users}\n"
                       f"pool_mode = {mode}\ndefault_pool_size = 10\n")
        for path in (self.folder, users, config):
            if cluster.user:
                os.chown(path, cluster.user.pw_uid, cluster.user.pw_gid)
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([self.program(), config], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.folder, start_new_session=True, preexec_fn=die_with_parent,
                                        **cluster._as_user())
        wait_listening(self.process, self.port, self.log.name)

    @staticmethod
    def program():
        found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not found:
            raise RuntimeError("pgbouncer is not installed: run tools/setup deep")
        return found

    def url(self, database):
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
