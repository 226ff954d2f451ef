UNIT_COMPILE = $(AM_CFLAGS) $(CUNIT_CFLAGS)

# ---- what needs no ensemble ----

check_PROGRAMS += tests/unit/test_config tests/unit/test_log
TESTS += tests/unit/test_config tests/unit/test_config_schema.sh tests/unit/test_log
EXTRA_DIST += tests/unit/test_config_schema.sh

tests_unit_test_config_SOURCES = \
	tests/unit/test_config.c tests/unit/test_config.h tests/unit/test_config_api.c \
	tests/unit/test_config_files.c tests/unit/test_config_nodeid.c tests/unit/test_config_odd.c \
	tests/unit/test_config_values.c
tests_unit_test_config_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_config_LDADD = libcore.la $(CUNIT_LIBS)

tests_unit_test_log_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_log_LDADD = libcore.la $(CUNIT_LIBS)

# ---- the session, the recipes and the cluster on a scripted ensemble (fake_zk.h), mostly on virtual time ----

check_LTLIBRARIES += tests/unit/libworld.la
tests_unit_libworld_la_SOURCES = \
	tests/unit/check.c tests/unit/check.h tests/unit/fake_zk.h \
	tests/unit/fake/control.c tests/unit/fake/internal.h tests/unit/fake/link.c tests/unit/fake/port.c \
	tests/unit/fake/server.c tests/unit/fake/tree.c \
	tests/unit/rig.c tests/unit/rig.h tests/unit/world.c tests/unit/world.h tests/unit/world_check.c \
	tests/unit/world_events.c tests/unit/world_internal.h tests/unit/world_sweep.c
tests_unit_libworld_la_CFLAGS = $(UNIT_COMPILE)

# What the world gives the library in the place of its own: the port, threads, time and chance.
world_ldflags = $(AM_LDFLAGS) \
	-Wl,--wrap=getentropy -Wl,--wrap=nanosleep -Wl,--wrap=oz_dispatch_free -Wl,--wrap=oz_dispatch_new \
	-Wl,--wrap=oz_dispatch_post -Wl,--wrap=oz_zookeeper -Wl,--wrap=poll -Wl,--wrap=pthread_create \
	-Wl,--wrap=timerfd_settime
world_ldadd = tests/unit/libworld.la libcore.la $(CUNIT_LIBS)

world_tests = \
	tests/unit/test_base tests/unit/test_election tests/unit/test_lease tests/unit/test_lock \
	tests/unit/test_membership tests/unit/test_session tests/unit/test_walk tests/unit/test_znode
check_PROGRAMS += $(world_tests)
TESTS += $(world_tests)

tests_unit_test_base_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_base_LDFLAGS = $(world_ldflags)
tests_unit_test_base_LDADD = $(world_ldadd)
tests_unit_test_lease_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_lease_LDFLAGS = $(world_ldflags)
tests_unit_test_lease_LDADD = $(world_ldadd)
tests_unit_test_walk_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_walk_LDFLAGS = $(world_ldflags)
tests_unit_test_walk_LDADD = $(world_ldadd)
tests_unit_test_znode_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_znode_LDFLAGS = $(world_ldflags)
tests_unit_test_znode_LDADD = $(world_ldadd)
tests_unit_test_session_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_session_LDFLAGS = $(world_ldflags)
tests_unit_test_session_LDADD = $(world_ldadd)
tests_unit_test_membership_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_membership_LDFLAGS = $(world_ldflags)
tests_unit_test_membership_LDADD = $(world_ldadd)
tests_unit_test_election_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_election_LDFLAGS = $(world_ldflags)
tests_unit_test_election_LDADD = $(world_ldadd)
tests_unit_test_lock_CFLAGS = $(UNIT_COMPILE)
tests_unit_test_lock_LDFLAGS = $(world_ldflags)
tests_unit_test_lock_LDADD = $(world_ldadd)
