# What `make check` runs. Only tests/cli/ starts ZooKeeper servers, private ones. Each kind of test has a fragment of its
# own.
TESTS += tests/layers.sh
EXTRA_DIST += tests/layers.sh

check_PROGRAMS += tests/unit/test_log
TESTS += tests/unit/test_log
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CFLAGS = $(AM_CFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_log_LDADD = libcore.la $(CUNIT_LIBS)

include tests/unit-config.mk
include tests/cli.mk
EXTRA_DIST += tests/model.sh
include tests/unit.mk
