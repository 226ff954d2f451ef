libcore_la_SOURCES += \
	src/config/config.c src/config/config.h src/config/expand.c src/config/expand.h src/config/file.c \
	src/config/file.h src/config/fit.c src/config/load.c src/config/nodeid.c src/config/nodeid.h \
	src/config/problems.c src/config/problems.h src/config/properties.c src/config/properties.h \
	src/config/servers.c src/config/servers.h src/config/settings.c src/config/settings.def \
	src/config/settings.h src/config/text.c src/config/text.h src/config/value.c src/config/value.h \
	src/config/xml.c src/config/xml.h src/config/zpath.c src/config/zpath.h

# One table of settings makes the schema, what the library knows, and the man page.
noinst_PROGRAMS += src/config/gen
src_config_gen_SOURCES = src/config/gen.c src/config/settings.c src/config/settings.def src/config/settings.h
nodist_libcore_la_SOURCES = src/config/xsd.h
BUILT_SOURCES += src/config/xsd.h
CLEANFILES += src/config/xsd.h
src/config/xsd.h: src/config/gen$(EXEEXT)
	$(AM_V_GEN)src/config/gen$(EXEEXT) --c > $@.tmp && mv $@.tmp $@

xsddir = $(pkgdatadir)
dist_xsd_DATA = schemas/ode-cluster.xsd
