# What membership, mastership and locks cost: `make bench` measures, bench/bench --help tells the options.
EXTRA_PROGRAMS += bench/bench
bench_bench_SOURCES = bench/bench.c
bench_bench_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/it
bench_bench_LDFLAGS = $(IT_LINK)
bench_bench_LDADD = it/libharness.la

.PHONY: bench
bench: all bench/bench$(EXEEXT) it/claimant$(EXEEXT)
	bench/bench$(EXEEXT)
	bench/bench$(EXEEXT) --servers 3

EXTRA_PROGRAMS += bench/lock/worker
bench_lock_worker_SOURCES = bench/lock/worker.c
bench_lock_worker_LDADD = libodezk.la $(ZOOKEEPER_LIBS)
EXTRA_DIST += bench/locks bench/lock/Curator.java bench/lock/kazoo_worker.py

# Side by side with the floor and the peers; bench/locks --help tells its options.
bench-locks: odezk$(EXEEXT) bench/lock/worker$(EXEEXT)
	$(srcdir)/bench/locks --build $(abs_builddir)
.PHONY: bench-locks

EXTRA_PROGRAMS += bench/member/worker bench/member/sessions
bench_member_worker_SOURCES = bench/member/worker.c
bench_member_worker_LDADD = libodezk.la $(ZOOKEEPER_LIBS)
bench_member_sessions_SOURCES = bench/member/sessions.c
EXTRA_DIST += bench/common.py bench/members bench/member/proxy.py

# Each figure beside its floor; bench/members --help tells its options.
bench-members: odezk$(EXEEXT) odezk-reaper$(EXEEXT) odezk-reaper-close$(EXEEXT) bench/member/worker$(EXEEXT) bench/member/sessions$(EXEEXT)
	$(srcdir)/bench/members --build $(abs_builddir)
.PHONY: bench-members
