"""Measures kazoo's Lock; commands as those of worker.c: "kazoo ROW COUNT"."""
import itertools
import logging
import sys
import threading
import time

from kazoo.client import KazooClient

logging.disable(logging.CRITICAL)
servers = sys.argv[1]
clients = []
fresh = itertools.count()


def client(i):
    while len(clients) <= i:
        c = KazooClient(hosts=servers, timeout=10)
        c.start()
        clients.append(c)
    return clients[i]


def cycle(lock):
    if not lock.acquire(timeout=60):
        raise RuntimeError("no lock")
    lock.release()


def parallel(cycles, count):
    each = max(1, count // len(cycles))

    def work(one):
        for _ in range(each):
            one()

    threads = [threading.Thread(target=work, args=(one,)) for one in cycles]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return (time.monotonic() - start) * 1e6 / (each * len(cycles))


def run(row, count):
    if row == "same-key":
        lock = client(0).Lock("/kazoo/same")
        return parallel([lambda: cycle(lock)], count)
    if row == "new-key" or row.startswith("threads-"):
        n = 1 if row == "new-key" else int(row[8:])
        c = client(0)
        return parallel([lambda: cycle(c.Lock("/kazoo/new-%d" % next(fresh)))] * n, count)
    if row.startswith("contended-"):
        locks = [client(i).Lock("/kazoo/fight") for i in range(int(row[10:]))]
        return parallel([lambda lock=lock: cycle(lock) for lock in locks], count)
    turns = itertools.cycle([client(0).Lock("/kazoo/turns"), client(1).Lock("/kazoo/turns")])
    return parallel([lambda: cycle(next(turns))], count)


for line in sys.stdin:
    _, row, count = line.split()
    print('{"us":%.4f}' % run(row, int(count)), flush=True)
for c in clients:
    c.stop()
