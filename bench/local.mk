# What it costs, with the floor of the same run beside each figure. None of this is made by default:
# the drivers make what they need.
EXTRA_PROGRAMS += bench/lock/worker
bench_lock_worker_SOURCES = bench/lock/worker.c
bench_lock_worker_LDADD = libodezk.la $(ZOOKEEPER_LIBS)
EXTRA_DIST += bench/locks bench/lock/Curator.java bench/lock/kazoo_worker.py

# Side by side with the floor and the peers; bench/locks --help tells its options.
bench-locks:
	$(srcdir)/bench/locks --build $(abs_builddir)
.PHONY: bench-locks

EXTRA_PROGRAMS += bench/member/worker bench/member/sessions
bench_member_worker_SOURCES = bench/member/worker.c
bench_member_worker_LDADD = libodezk.la $(ZOOKEEPER_LIBS)
bench_member_sessions_SOURCES = bench/member/sessions.c
EXTRA_DIST += bench/common.py bench/members bench/member/proxy.py

# Each figure beside its floor; bench/members --help tells its options.
bench-members:
	$(srcdir)/bench/members --build $(abs_builddir)
.PHONY: bench-members

bench: bench-members bench-locks
.PHONY: bench

CLEANFILES += bench/lock/worker$(EXEEXT) bench/member/sessions$(EXEEXT) bench/member/worker$(EXEEXT)
