check_PROGRAMS += tests/unit/test_config tests/properties/properties
TESTS += tests/unit/test_config tests/unit/test_config_schema.sh tests/properties/compare.sh
EXTRA_DIST += tests/unit/test_config_schema.sh tests/properties/compare.sh tests/properties/Dump.java \
	tests/fuzz/config

tests_unit_test_config_SOURCES = \
	tests/unit/test_config.c tests/unit/test_config.h tests/unit/test_config_api.c \
	tests/unit/test_config_files.c tests/unit/test_config_nodeid.c tests/unit/test_config_odd.c \
	tests/unit/test_config_values.c
tests_unit_test_config_CFLAGS = $(AM_CFLAGS) $(CUNIT_CFLAGS)
tests_unit_test_config_LDADD = libcore.la $(CUNIT_LIBS)

tests_properties_properties_SOURCES = tests/properties/properties.c
tests_properties_properties_LDADD = libcore.la

# `make fuzz-config` builds a libFuzzer program, which wants clang; then for example
# tests/fuzz/fuzz_config -max_total_time=60 CORPUS tests/fuzz/config
FUZZ_CC = clang
fuzz_config_sources = tests/fuzz/fuzz_config.c $(config_sources) src/base/*.c
EXTRA_DIST += tests/fuzz/fuzz_config.c
CLEANFILES += tests/fuzz/fuzz_config

.PHONY: fuzz-config
fuzz-config: src/config/xsd.h
	$(MKDIR_P) tests/fuzz
	cd $(srcdir) && $(FUZZ_CC) -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined -D_GNU_SOURCE -Iinclude -Isrc -I$(abs_builddir)/src \
		$(XML_CFLAGS) $(LOG4C_CFLAGS) $(fuzz_config_sources) -pthread $(XML_LIBS) $(LOG4C_LIBS) \
		-o $(abs_builddir)/tests/fuzz/fuzz_config
