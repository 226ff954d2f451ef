# Integration tests against real servers, each a program of its own. `make integration` runs them, `make check` only
# builds them.
IT_COMPILE = $(AM_CFLAGS) $(CUNIT_CFLAGS) $(JANSSON_CFLAGS)
IT_LINK = $(AM_LDFLAGS) -no-install

check_LTLIBRARIES += it/libharness.la
it_libharness_la_SOURCES = \
	it/claims.c it/clean.c it/clock.c it/events.c it/harness.c it/harness.h it/internal.h it/process.c \
	it/proxy.c it/sandbox.c it/zk.c
it_libharness_la_CFLAGS = $(IT_COMPILE)
it_libharness_la_LIBADD = libodezk.la $(CUNIT_LIBS) $(JANSSON_LIBS) $(ZOOKEEPER_LIBS)

# Sources that are not named are the program's name with .c.
IT_TESTS = \
	it/test_election it/test_engine it/test_lock it/test_membership it/test_reaper it/test_scale it/test_session \
	it/test_sticky it/test_write
check_PROGRAMS += $(IT_TESTS) it/claimant it/victim

it_test_election_CFLAGS = $(IT_COMPILE)
it_test_election_LDFLAGS = $(IT_LINK)
it_test_election_LDADD = it/libharness.la
it_test_engine_CFLAGS = $(IT_COMPILE)
it_test_engine_LDFLAGS = $(IT_LINK)
it_test_engine_LDADD = it/libharness.la
it_test_lock_CFLAGS = $(IT_COMPILE)
it_test_lock_LDFLAGS = $(IT_LINK)
it_test_lock_LDADD = it/libharness.la
it_test_membership_CFLAGS = $(IT_COMPILE)
it_test_membership_LDFLAGS = $(IT_LINK)
it_test_membership_LDADD = it/libharness.la
it_test_reaper_CFLAGS = $(IT_COMPILE)
it_test_reaper_LDFLAGS = $(IT_LINK)
it_test_reaper_LDADD = it/libharness.la
it_test_scale_CFLAGS = $(IT_COMPILE)
it_test_scale_LDFLAGS = $(IT_LINK)
it_test_scale_LDADD = it/libharness.la
it_test_session_CFLAGS = $(IT_COMPILE)
it_test_session_LDFLAGS = $(IT_LINK)
it_test_session_LDADD = it/libharness.la
it_test_sticky_CFLAGS = $(IT_COMPILE)
it_test_sticky_LDFLAGS = $(IT_LINK)
it_test_sticky_LDADD = it/libharness.la
it_test_write_CFLAGS = $(IT_COMPILE) $(SQLITE_CFLAGS)
it_test_write_LDFLAGS = $(IT_LINK)
it_test_write_LDADD = it/libharness.la $(SQLITE_LIBS)

# Processes that the tests start.
it_claimant_CFLAGS = $(IT_COMPILE)
it_claimant_LDFLAGS = $(IT_LINK)
it_claimant_LDADD = it/libharness.la
it_victim_LDFLAGS = $(IT_LINK)
it_victim_LDADD = libodezk.la

include it/faults/local.mk

# One after the other; IT_ARGS are their options, for example IT_ARGS="--servers 3".
IT_ARGS =
integration:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=
	@failed=; for test in $(IT_TESTS); do \
		echo "== $$test"; srcdir=$(abs_srcdir) ./$$test $(IT_ARGS) || failed="$$failed $$test"; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }
.PHONY: integration
