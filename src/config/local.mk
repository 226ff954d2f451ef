config_sources = \
	src/config/config.c src/config/encoding.c src/config/expand.c src/config/file.c src/config/fit.c \
	src/config/load.c src/config/nodeid.c src/config/problems.c src/config/properties.c src/config/servers.c \
	src/config/settings.c src/config/text.c src/config/value.c src/config/xml.c src/config/zpath.c

libcore_la_SOURCES += $(config_sources) \
	src/config/config.h src/config/encoding.h src/config/expand.h src/config/file.h src/config/nodeid.h \
	src/config/problems.h src/config/properties.h src/config/servers.h src/config/settings.def \
	src/config/settings.h src/config/text.h src/config/value.h src/config/xml.h src/config/zpath.h

# What is made from the table of settings: the schema that the library carries, the schema that is installed
# (`make update-schema` after a change of the table), and the list of the man page (`src/config/gen --man`).
noinst_PROGRAMS += src/config/gen
src_config_gen_SOURCES = src/config/gen.c src/config/settings.c src/config/settings.def src/config/settings.h

$(libcore_la_OBJECTS): src/config/xsd.h
src/config/xsd.h: src/config/gen$(EXEEXT)
	$(AM_V_GEN)src/config/gen$(EXEEXT) --c >$@.tmp && mv $@.tmp $@
CLEANFILES += src/config/xsd.h src/config/xsd.h.tmp

xsddir = $(pkgdatadir)
dist_xsd_DATA = schemas/ode-cluster.xsd
EXTRA_DIST += doc/configuration.md

.PHONY: update-schema
update-schema: src/config/gen$(EXEEXT)
	src/config/gen$(EXEEXT) --xsd >$(srcdir)/schemas/ode-cluster.xsd
