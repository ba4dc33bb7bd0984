"""Hostile models, with the attack of each and its expected outcome.

`app` follows the line `from server import *` (kit/server.py). `gets` is `answers` (the entry is scored like any
other), a fault's code, or for each of the three clips None or the code of its failure. A model that tries to escape
writes `prevented` or `ESCAPED` to its log for each attempt.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One hostile model.

    A case with `needs_isolation` is tried only in sandboxes that isolate. The test replaces each `<…>` in `app`.
    """

    name: str
    app: str
    gets: str | tuple[str | None, ...] = "answers"
    attempts: bool = False
    needs_isolation: bool = False
    limits: dict[str, Any] = field(default_factory=dict)
    by_files: bool = False


def _attempts(name: str, *lines: str) -> Case:
    app = "\n".join(f"attempt({line})" for line in lines) + "\nserve(Model())"
    return Case(name, app, attempts=True, needs_isolation=True)


def _serving(name: str, body: str, gets: str | tuple[str | None, ...], **more: Any) -> Case:
    """An honest model of which some hooks are replaced."""
    return Case(name, f"class Hostile(Model):\n{_indented(body)}\nserve(Hostile())", gets, **more)


def _indented(body: str, spaces: int = 4) -> str:
    return textwrap.indent(textwrap.dedent(body).strip("\n"), " " * spaces)


def _archive(name: str, body: str, gets: str | tuple[str | None, ...]) -> Case:
    """A model whose archive `body` makes: it writes to the ZipFile `z`."""
    lines = _indented(body, 8)
    return _serving(
        name,
        "def archive(self):\n"
        "    out = io.BytesIO()\n"
        "    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:\n"
        f"{lines}\n"
        "    return out.getvalue()",
        gets,
    )


def _enhanced(name: str, expression: str, gets: str | tuple[str | None, ...]) -> Case:
    """A model that returns `expression` for each degraded file `d` called `n`."""
    return _serving(
        name, f"def enhanced(self):\n    return {{n: {expression} for n, d in self.files.items()}}", gets
    )


def _by_files(
    name: str, answer: str, ready: str = "touch", gets: str | tuple[str | None, ...] = "protocol"
) -> Case:
    """A model without a web server that puts `answer` into its output folder."""
    lines = ["import time", "from pathlib import Path", "out = Path(os.environ['SOUNDSRIGHT_OUTPUT'])"]
    lines += [f"(out / 'ready').{ready}()", _indented(answer, 0), "time.sleep(600)"]
    return Case(name, "\n".join(lines), gets, by_files=True)


def _all(code: str) -> tuple[str, str, str]:
    return (code, code, code)


ESCAPES = (
    _attempts(
        "connects to the outside",
        "'tcp', lambda: socket.create_connection(('192.0.2.1', 80), 2)",
        "'udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "'tcp6', lambda: socket.create_connection(('2001:db8::1', 80), 2)",
    ),
    _attempts("resolves a host name", "'dns', lambda: socket.getaddrinfo('example.com', 80)"),
    _attempts(
        "connects to the metadata address",
        "'metadata', lambda: socket.create_connection(('169.254.169.254', 80), 2)",
    ),
    _attempts(
        "reaches the host's loopback",
        "'host port', lambda: socket.create_connection(('127.0.0.1', <host_port>), 2)",
        "'host abstract socket', lambda: connect((socket.AF_UNIX,), '\\0<abstract>')",
    ),
    _attempts(
        "reaches another model's port", "'other model', lambda: socket.create_connection(('127.0.0.1', 6500), 2)"
    ),
    _attempts(
        "reads another model's files",
        # If the interpreter is below /tmp on the host, it is also visible in the sandbox.
        "'temporary files', lambda: "
        "[n for n in os.listdir('/tmp') if '/tmp/' + n not in __import__('sys').prefix] or None",
        "'other sockets', lambda: os.listdir('/run/soundsright') or None",
        "'private directory', lambda: os.listdir('<private>')",
    ),
    _attempts("reads the clean set", "'clean set', lambda: open('<secret>').read()"),
    _attempts(
        "reads the wallet",
        "'wallet', lambda: open('<wallet>').read()",
        "'home', lambda: os.listdir(os.path.expanduser('~/.bittensor'))",
        "'root home', lambda: os.listdir('/root/.bittensor')",
    ),
    _attempts(
        "connects to the container engine",
        "'engine socket', lambda: connect((socket.AF_UNIX,), '/var/run/docker.sock')",
        "'engine socket of the tests', lambda: connect((socket.AF_UNIX,), '<engine_socket>')",
    ),
    _attempts(
        "reads the host's processes",
        "'harness', lambda: os.kill(<harness_pid>, 0)",
        "'environments', lambda: [p for p in os.listdir('/proc')"
        " if p.isdecimal() and os.access(f'/proc/{p}/environ', 4)"
        " and b'<secret_value>' in open(f'/proc/{p}/environ', 'rb').read()] or None",
        "'commands', lambda: [p for p in os.listdir('/proc') if p.isdecimal()"
        " and b'pytest' in open(f'/proc/{p}/cmdline', 'rb').read()] or None",
    ),
    _attempts(
        "watches its neighbours",
        *(
            f"'{name}', lambda: [n for n in open('/proc/{name}').read().split() if n.isdecimal() and int(n) > 1]"
            " or None"
            for name in (
                "uptime",
                "loadavg",
                "vmstat",
                "diskstats",
                "interrupts",
                "softirqs",
                "schedstat",
                "zoneinfo",
            )
        ),
        "'stat', lambda: [l for l in open('/proc/stat') if l.split()[0] in ('cpu', 'btime', 'ctxt')"
        " and any(map(int, l.split()[1:]))] or None",
        "'loads', lambda: [l for l in open('/proc/loadavg') if l.split()[0] != '0.00'] or None",
        "'boot', lambda: open('/proc/sys/kernel/random/boot_id').read() or None",
        "'control groups', lambda: open('/proc/cgroups').read() or None",
        *(
            f"'{name}', lambda: os.listdir('{name}') or None"
            for name in (
                "/proc/pressure",
                "/proc/fs",
                "/proc/irq",
                "/sys/block",
                "/sys/fs",
                "/sys/devices/system/cpu/cpufreq",
                "/sys/devices/system/cpu/cpuidle",
            )
        ),
    ),
    _attempts(
        "traces processes",
        "'ptrace', lambda: syscall('ptrace', 16, 1, 0, 0)",
        "'process_vm_readv', lambda: syscall('process_vm_readv', 1, 0, 0, 0, 0, 0)",
    ),
    _attempts(
        "mounts and changes root",
        "'mount', lambda: syscall('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
        "'chroot', lambda: syscall('chroot', b'/tmp')",
        "'swapon', lambda: syscall('swapon', b'/tmp/x', 0)",
    ),
    _attempts(
        "opens raw sockets",
        "'raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "'packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    ),
    _attempts(
        "makes new namespaces",
        "'unshare user', lambda: syscall('unshare', 0x10000000)",
        "'unshare net', lambda: syscall('unshare', 0x40000000)",
        "'clone3', lambda: syscall('clone3', 0, 0)",
        "'setns', lambda: syscall('setns', os.open('/proc/1/ns/net', 0), 0)",
    ),
    _attempts(
        "uses the kernel's keyrings",
        "'add_key', lambda: syscall('add_key', b'user', b'x', b'y', 1, -3)",
        "'keyctl', lambda: syscall('keyctl', 0, -3, 0)",
    ),
    _attempts("opens a VSOCK socket", "'vsock', lambda: socket.socket(40, socket.SOCK_STREAM)"),
    _attempts(
        "becomes root",
        "'setuid', lambda: os.setuid(0)",
        "'setgid', lambda: os.setgid(0)",
        "'root already', lambda: 'root' if os.getuid() == 0 else None",
        "'capabilities', lambda: [l for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm'))"
        " and int(l.split()[1], 16)] or None",
        "'new privileges', lambda: None if 'NoNewPrivs:\\t1' in open('/proc/self/status').read() else 'allowed'",
    ),
    _attempts(
        "writes outside",
        *(
            f"'{path}', lambda: open('{path}', 'w')"
            for path in (
                "/etc/x",
                "/usr/x",
                "/bin/x",
                "/x",
                "/app/x",
                "/model/x",
                "/dev/x",
                "/run/x",
                "/var/tmp/x",
                "/root/x",
                "/proc/sys/kernel/hostname",
                "/proc/sysrq-trigger",
                "/sys/kernel/x",
            )
        ),
    ),
    _attempts(
        "uses risky system calls",
        "'bpf', lambda: syscall('bpf', 0, 0, 0)",
        "'perf_event_open', lambda: syscall('perf_event_open', 0, 0, -1, -1, 0)",
        "'userfaultfd', lambda: syscall('userfaultfd', 0)",
        "'io_uring', lambda: syscall('io_uring_setup', 8, 0)",
        "'open_by_handle_at', lambda: syscall('open_by_handle_at', 0, 0, 0)",
        "'iopl', lambda: syscall('iopl', 3)",
    ),
    _attempts(
        "changes the machine",
        "'init_module', lambda: syscall('init_module', b'', 0, b'')",
        "'kexec', lambda: syscall('kexec_load', 0, 0, 0, 0)",
        "'settimeofday', lambda: syscall('settimeofday', 0, 0)",
        "'sethostname', lambda: syscall('sethostname', b'x', 1)",
    ),
    _attempts(
        "opens devices",
        *(
            f"'{path}', lambda: open('{path}', 'rb')"
            for path in ("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/kvm")
        ),
        "'mknod', lambda: os.mknod('/tmp/disk', 0o60666, os.makedev(8, 0))",
    ),
    _attempts(
        "shares memory with the host",
        "'System V', lambda: [l for l in open('/proc/sysvipc/shm')][1:] or None",
        "'queues', lambda: os.listdir('/dev/mqueue') or None",
    ),
    _attempts(
        "finds handles left open",
        "'handles', lambda: [os.readlink(f'/proc/self/fd/{f}') for f in os.listdir('/proc/self/fd')"
        " if int(f) > 2 and os.path.lexists(f'/proc/self/fd/{f}')] or None",
    ),
    _attempts(
        "raises its own limits",
        "'files', lambda: __import__('resource').setrlimit(7, (10**6, 10**6))",
        "'priority', lambda: os.nice(-5)",
        "'scheduler', lambda: os.sched_setscheduler(0, 1, os.sched_param(50))",
    ),
    _attempts(
        "detects the grader",
        "'package', lambda: __import__('soundsright')",
        "'environment', lambda: [k for k in os.environ if 'pytest' in k.lower() or 'wallet' in k.lower()] or None",
        "'host name', lambda: None if socket.gethostname() == 'model' else socket.gethostname()",
    ),
    _attempts(
        "climbs out of its control group",
        *(
            f"'{name}', lambda: [open(p + '/{name}', 'w').write('{value}') for p in control_groups()] or None"
            for name, value in (
                ("release_agent", "/tmp/x"),
                ("notify_on_release", "1"),
                ("cgroup.procs", "0"),
                ("memory.limit_in_bytes", "-1"),
                ("memory.max", "max"),
                ("pids.max", "max"),
            )
        ),
        "'new group', lambda: [os.mkdir(p + '/x') for p in control_groups()] or None",
    ),
    _attempts(
        "stops its parent and its init",
        *(
            f"'{what} {number}', lambda: os.kill({pid}, {number}) or stopped({pid})"
            for what, pid in (("init", "1"), ("parent", "os.getppid()"))
            for number in (19, 9)
        ),
    ),
    _attempts(
        "syncs the machine's disks",
        "'syncfs', lambda: syscall('syncfs', os.open('/', 0))",
        "'shmget', lambda: syscall('shmget', 1, 4096, 0o1600)",
        "'msgget', lambda: syscall('msgget', 1, 0o1600)",
    ),
    Case(
        "puts a pipe in the socket's place",
        "os.mkfifo(os.environ['SOUNDSRIGHT_SOCKET'])\nimport time; time.sleep(600)",
        "timeout",
        limits={"load_timeout_s": 1.5},
    ),
    Case(
        "listens and never accepts",
        "s = socket.socket(socket.AF_UNIX)\ns.bind(os.environ['SOUNDSRIGHT_SOCKET'])\ns.listen(0)\n"
        "import time; time.sleep(600)",
        "timeout",
        limits={"load_timeout_s": 1.5},
    ),
    _serving(
        "passes handles to the harness",
        """
        def enhance(self, r):
            handles = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
            for at in range(0, 200, 50):
                socket.send_fds(r.connection, [b"HTTP/1.1 100 Continue\\r\\n\\r\\n"], handles[at : at + 50])
            for handle in handles:
                os.close(handle)
            super().enhance(r)
        """,
        "answers",
    ),
    Case(
        "puts a link in the socket's place",
        "os.symlink('<engine_socket>', os.environ['SOUNDSRIGHT_SOCKET'])\nimport time; time.sleep(600)",
        "timeout",
        needs_isolation=True,
        limits={"load_timeout_s": 1.5},
    ),
)

ABUSE = (
    Case(
        "fills its disk",
        """
        def fill():
            with open("/tmp/a", "wb") as a, open("/tmp/b", "wb") as b:
                for _ in range(2_000):
                    a.write(bytes(1_000_000))
                    b.write(bytes(1_000_000))
        attempt("disk", fill)
        os.unlink("/tmp/a")
        os.unlink("/tmp/b")
        serve(Model())
        """,
        attempts=True,
        needs_isolation=True,
        limits={"tmpfs_bytes": 50_000_000},
    ),
    Case(
        "fills shared memory and the socket's folder",
        """
        def fill(folder):
            for n in range(400):
                with open(f"{folder}/{n}", "wb") as file:
                    file.write(bytes(1_000_000))
        for folder in ("/dev/shm", "/run/soundsright"):
            attempt(folder, lambda: fill(folder))
            for n in os.listdir(folder):
                os.unlink(f"{folder}/{n}")
        serve(Model())
        """,
        attempts=True,
        needs_isolation=True,
    ),
    Case("floods its log", "print('y' * 5_000_000)\nserve(Model())", limits={"log_bytes": 50_000}),
    Case(
        "forks without end",
        """
        import time
        for _ in range(3):
            try:
                while True:
                    if os.fork() == 0:
                        time.sleep(600)
            except OSError as e:
                print("prevented fork:", e, flush=True)
        serve(Model())
        """,
        "any",
        needs_isolation=True,
    ),
    Case("takes all memory", "hog = [bytearray(20_000_000) for _ in range(100)]\nserve(Model())", "crashed"),
    Case(
        "hides memory in files without a name",
        """
        held = []
        for _ in range(50):
            file = os.memfd_create("x")
            for _ in range(20):
                os.write(file, bytes(1_000_000))
            held.append(file)
        serve(Model())
        """,
        "crashed",
        needs_isolation=True,
    ),
    Case(
        "holds memory in page tables",
        """
        import mmap, time
        tables = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
        for at in range(0, 1 << 40, 1 << 21):
            tables[at]
        print("ESCAPED 2 GB of page tables", flush=True)
        serve(Model())
        """,
        "crashed",
    ),
    Case(
        "holds memory in socket buffers",
        """
        held, full = [], 0
        piece = bytes(65_536)
        for _ in range(450):
            for one in socket.socketpair():
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                held.append(one)
                try:
                    while True:
                        full += one.send(piece)
                except OSError:
                    pass
                if full > 700_000_000:
                    print("ESCAPED", full, "bytes in socket buffers", flush=True)
                    os._exit(0)
        print("prevented", full, "bytes in socket buffers", flush=True)
        del held
        serve(Model())
        """,
        "any",
        needs_isolation=True,
    ),
    Case(
        "holds memory in the buffers of Internet sockets",
        """
        held, full = [], 0
        piece = bytes(60_000)
        with socket.create_server(("127.0.0.1", 0), backlog=1_000) as server:
            for _ in range(450):
                one = socket.create_connection(server.getsockname())
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                held += [one, server.accept()[0]]
                try:
                    while True:
                        full += one.send(piece)
                except OSError:
                    pass
                if full > 700_000_000:
                    print("ESCAPED", full, "bytes in TCP", flush=True)
                    os._exit(0)
        print("prevented", full, "bytes in TCP", flush=True)
        del held
        serve(Model())
        """,
        "any",
        needs_isolation=True,
    ),
    Case(
        "takes all processors",
        """
        import multiprocessing, time

        def burn():
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                pass

        class Greedy(Model):
            def enhance(self, request):
                os.sched_setaffinity(0, range(64))
                began = os.times()
                burners = [multiprocessing.Process(target=burn) for _ in range(4)]
                for burner in burners:
                    burner.start()
                for burner in burners:
                    burner.join()
                ended = os.times()
                used = sum(ended[2:4]) - sum(began[2:4])
                share = used / (ended.elapsed - began.elapsed)
                print("ESCAPED" if share > 1.3 else "prevented", f"processors: {share:.2f}", flush=True)
                super().enhance(request)

        serve(Greedy())
        """,
        attempts=True,
        needs_isolation=True,
    ),
    Case(
        "leaves a storm of zombies",
        """
        for _ in range(500):
            try:
                if os.fork() == 0:
                    os._exit(0)
            except OSError:
                pass
        serve(Model())
        """,
        "any",
        needs_isolation=True,
    ),
    Case(
        "ignores every signal and hides",
        """
        import signal, time
        for number in (1, 2, 3, 15):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        serve(Model())
        """,
    ),
    Case("never listens", "import time; time.sleep(600)", "timeout", limits={"load_timeout_s": 1.0}),
    _serving(
        "is never ready",
        "def status(self, r): r.json({'container_running': False})",
        "timeout",
        limits={"load_timeout_s": 1.0},
    ),
    _serving(
        "never prepares",
        "def prepare(self, r): import time; time.sleep(60)",
        "timeout",
        limits={"load_timeout_s": 1.0},
    ),
    _serving(
        "stops answering",
        "def enhance(self, r): import time; time.sleep(60)",
        "timeout",
        limits={"enhance_fixed_s": 0.5},
    ),
    _serving("ends in the middle", "def enhance(self, r): os._exit(0)", "crashed"),
    _serving(
        "kills every process that it can",
        """
        def enhance(self, r):
            try:
                os.kill(-1, 9)
            except OSError:
                pass
            os.kill(os.getpid(), 9)
        """,
        "crashed",
        needs_isolation=True,
    ),
)

PROTOCOL = (
    _serving(
        "drips its header",
        """
        def enhance(self, r):
            import time
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nX: ")
            while True:
                r.wfile.write(b"a")
                time.sleep(0.05)
        """,
        "timeout",
        limits={"enhance_fixed_s": 0.5},
    ),
    _serving(
        "drips its body",
        """
        def download(self, r):
            import time
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5000\\r\\n\\r\\n")
            while True:
                r.wfile.write(b"a")
                time.sleep(0.05)
        """,
        "timeout",
        limits={"step_timeout_s": 0.7},
    ),
    _serving(
        "sends a body without end",
        """
        def download(self, r):
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
            while True:
                r.wfile.write(b"10000\\r\\n" + bytes(65536) + b"\\r\\n")
        """,
        "protocol",
    ),
    _serving(
        "sends a chunk of negative size",
        """
        def download(self, r):
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n-5\\r\\n" + bytes(100))
        """,
        "protocol",
    ),
    _serving(
        "sends a chunk without end",
        """
        def download(self, r):
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n-1\\r\\n")
            while True:
                r.wfile.write(bytes(65536))
        """,
        "protocol",
    ),
    _serving(
        "announces 10 GB",
        """
        def download(self, r):
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10000000000\\r\\n\\r\\n")
        """,
        "protocol",
    ),
    _serving(
        "sends a short body",
        """
        def download(self, r):
            r.close_connection = True
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5000\\r\\n\\r\\nPK")
        """,
        "protocol",
    ),
    _serving(
        "sends headers without end",
        """
        def enhance(self, r):
            r.wfile.write(b"HTTP/1.1 200 OK\\r\\n")
            while True:
                r.wfile.write(b"X: " + b"a" * 1000 + b"\\r\\n")
        """,
        "protocol",
    ),
    _serving(
        "sends 100 Continue without end",
        """
        def enhance(self, r):
            while True:
                r.wfile.write(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
        """,
        "protocol",
    ),
    _serving(
        "does not speak HTTP",
        """
        def status(self, r):
            r.close_connection = True
            r.wfile.write(b"SSH-2.0-x\\r\\n")
        """,
        "timeout",
        limits={"load_timeout_s": 1.0},
    ),
    _serving("answers 500", "def enhance(self, r): r.json({'detail': 'no'}, 500)", "protocol"),
    _serving(
        "redirects to the metadata address",
        "def download(self, r): r.answer(302, b'', 'text/plain', [('Location', 'http://169.254.169.254/latest')])",
        "protocol",
    ),
    _serving("answers a list", "def enhance(self, r): r.json([True])", "protocol"),
    _serving("answers a string for true", "def enhance(self, r): r.json({'status': 'true'})", "protocol"),
    _serving(
        "answers nested JSON", "def enhance(self, r): r.answer(200, b'[' * 60000, 'application/json')", "protocol"
    ),
    _serving(
        "answers no JSON", "def enhance(self, r): r.answer(200, b'\\xff\\xfe\\x1b[2J', 'text/html')", "protocol"
    ),
    _serving(
        "answers 1 MB of JSON", "def enhance(self, r): r.json({'status': True, 'x': 'y' * 1_000_000})", "protocol"
    ),
    _serving(
        "claims other uploads",
        """
        def upload(self, r):
            r.multipart()
            r.json({"uploaded_files": [], "status": True})
        """,
        "protocol",
    ),
    _serving("returns no archive", "def archive(self): return b'not a zip'", "protocol"),
    _archive("sends a zip bomb", "for n in self.files: z.writestr(n, bytes(20_000_000))", _all("length")),
    _archive("sends paths that climb", "for n, d in self.files.items(): z.writestr('../../' + n, d)", "protocol"),
    _archive("sends absolute paths", "for n, d in self.files.items(): z.writestr('/etc/' + n, d)", "protocol"),
    _archive(
        "sends links",
        """
        for n in self.files:
            link = zipfile.ZipInfo(n)
            link.external_attr = 0o120777 << 16
            z.writestr(link, "/etc/passwd")
        """,
        "protocol",
    ),
    _archive(
        "sends names twice",
        """
        import warnings
        warnings.simplefilter("ignore")
        for n, d in [*self.files.items()] * 2:
            z.writestr(n, d)
        """,
        "protocol",
    ),
    _archive("sends 20,000 members", "for n in range(20_000): z.writestr(str(n), b'')", "protocol"),
    _archive(
        "sends wrong names", "for n, d in self.files.items(): z.writestr('enhanced_' + n, d)", _all("missing")
    ),
    _archive("sends nothing", "pass", _all("missing")),
    _archive(
        "forgets one", "for n, d in sorted(self.files.items())[:2]: z.writestr(n, d)", (None, None, "missing")
    ),
    _serving(
        "sends a spoilt archive",
        """
        def archive(self):
            data = bytearray(super().archive())
            data[60:90] = bytes(30)
            return bytes(data)
        """,
        "protocol",
    ),
    _enhanced("returns another rate", "wav(d[44:], rate=48000)", _all("rate")),
    _enhanced("returns stereo", "wav(d[44:], channels=2)", _all("shape")),
    _enhanced("returns half", "wav(d[44:44 + (len(d) - 44) // 4 * 2])", _all("length")),
    _enhanced("returns a little more", "wav(d[44:] + bytes(2))", _all("length")),
    _enhanced(
        "returns NaN", "wav(b'\\x00\\x00\\xc0\\x7f' * ((len(d) - 44) // 2), coding=3, bits=32)", _all("not_finite")
    ),
    _enhanced(
        "returns infinity",
        "wav(b'\\x00\\x00\\x80\\x7f' * ((len(d) - 44) // 2), coding=3, bits=32)",
        _all("not_finite"),
    ),
    _enhanced("returns float", "wav(b'\\x00\\x00\\x00\\x3e' * ((len(d) - 44) // 2), coding=3, bits=32)", "answers"),
    _enhanced("lies in its header", "wav(d[44:100], claim=len(d) - 44)", _all("format")),
    _enhanced("returns a coding of its own", "wav(d[44:], coding=85)", _all("format")),
    _enhanced("returns no WAV", "b'RIFF' + bytes(100)", _all("format")),
    _enhanced("returns empty files", "b''", _all("format")),
    _serving(
        "answers with other clips' audio",
        """
        def enhanced(self):
            names = sorted(self.files)
            return {n: self.files[m] for n, m in zip(names, names[1:] + names[:1])}
        """,
        _all("length"),
    ),
    _serving(
        "answers with what it had before the reset",
        """
        def reset(self, r):
            r.json({"status": True})

        def upload(self, r):
            before = dict(self.files)
            super().upload(r)
            self.files.update(before)
        """,
        "answers",
    ),
    _serving("does not reset", "def reset(self, r): r.json({'status': False})", "protocol on the second batch"),
)

FILES = (
    _by_files("links its answer elsewhere", "os.symlink('/etc', out / 'batch-1')"),
    _by_files(
        "puts pipes and links for files",
        """
        (out / "x").mkdir()
        os.mkfifo(out / "x" / "clip-0.wav")
        os.symlink("/etc/passwd", out / "x" / "clip-1.wav")
        os.rename(out / "x", out / "batch-1")
        """,
    ),
    _by_files("has a folder for a ready file", "", ready="mkdir"),
    _by_files(
        "answers with holes as large as a disk",
        """
        for batch in ("batch-1", "batch-2"):
            (out / "x").mkdir()
            for n in range(3):
                with open(out / "x" / f"clip-{n}.wav", "wb") as file:
                    file.truncate(400_000_000)
            os.rename(out / "x", out / batch)
        """,
        gets=_all("length"),
    ),
)

CASES = ESCAPES + ABUSE + PROTOCOL + FILES
