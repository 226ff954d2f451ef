# What `make check` runs. Only tests/cli/ starts ZooKeeper servers, private ones.
TESTS += tests/layers.sh tests/cli/test_cli.sh tests/cli/test_cluster.sh
EXTRA_DIST += tests/layers.sh tests/cli/tap.sh tests/cli/test_cli.sh tests/cli/test_cluster.sh tests/model.sh

# Makes a main thread late; a shared object, to be preloaded.
if SHARED
check_LTLIBRARIES += tests/cli/late.la
endif
tests_cli_late_la_SOURCES = tests/cli/late.c
tests_cli_late_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

include tests/unit/local.mk

# Our reader of Java properties against Java's own.
check_PROGRAMS += tests/properties/properties
TESTS += tests/properties/compare.sh
EXTRA_DIST += tests/properties/compare.sh tests/properties/Dump.java
tests_properties_properties_LDADD = libcore.la

# `make fuzz-config` builds a libFuzzer program, which wants clang; then for example
# tests/fuzz/fuzz_config -max_total_time=60 CORPUS tests/fuzz/config
FUZZ_CC = clang
fuzz_config_sources = tests/fuzz/fuzz_config.c $(config_sources) src/base/*.c
EXTRA_DIST += tests/fuzz/config tests/fuzz/fuzz_config.c
CLEANFILES += tests/fuzz/fuzz_config

.PHONY: fuzz-config
fuzz-config: src/config/xsd.h
	$(MKDIR_P) tests/fuzz
	cd $(srcdir) && $(FUZZ_CC) -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -D_GNU_SOURCE -Iinclude -Isrc -I$(abs_builddir)/src \
		$(XML_CFLAGS) $(LOG4C_CFLAGS) $(fuzz_config_sources) -pthread $(XML_LIBS) $(LOG4C_LIBS) \
		-o $(abs_builddir)/tests/fuzz/fuzz_config
