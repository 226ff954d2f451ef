
EXTRA_PROGRAMS += bench/lock/worker
bench_lock_worker_SOURCES = bench/lock/worker.c
bench_lock_worker_LDADD = libodezk.la $(ZOOKEEPER_LIBS)
EXTRA_DIST += bench/locks bench/lock/Curator.java bench/lock/kazoo_worker.py

# Side by side with the floor and the peers; bench/locks --help tells its options.
bench-locks: odezk$(EXEEXT) bench/lock/worker$(EXEEXT)
	$(srcdir)/bench/locks --build $(abs_builddir)
.PHONY: bench-locks
