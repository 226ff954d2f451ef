"""What the drivers of the benchmarks share: servers of their own, and workers that answer lines with JSON."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = "bench/" + os.path.basename(sys.argv[0])


def make(build, *programs):
    """The programs that a measurement needs are not made by default."""
    if not os.path.exists(os.path.join(build, "Makefile")):
        sys.exit("%s: %s is no build of odezk; ./quickstart makes one in build/, --build names another" % (PROGRAM, build))
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    made = subprocess.run(["make", "-s", "-C", build, "odezk", *programs], env=environment, stdout=sys.stderr)
    if made.returncode != 0:
        sys.exit("%s: make failed in %s" % (PROGRAM, build))


class Worker:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("%s: %s ended early" % (PROGRAM, self.name))
        return json.loads(answer)

    def ask(self, line):
        self.tell(line)
        return self.hear()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Sandbox:
    def __init__(self, build, servers):
        self.process = subprocess.Popen([build + "/odezk", "sandbox", "--servers", str(servers), "--control", "--tick", "2000"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.connect = self.process.stdout.readline().strip()
        if not self.connect:
            sys.exit("%s: the sandbox did not start" % PROGRAM)
        self.pids = [int(pid) for pid in self.process.stdout.readline().split()[1:]]

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            sys.exit("%s: sandbox: %s: %s" % (PROGRAM, line, answer))

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
