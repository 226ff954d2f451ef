bin_PROGRAMS += odezk
odezk_SOURCES = \
	src/cli/child.c src/cli/child.h src/cli/commands.h src/cli/common.c src/cli/common.h \
	src/cli/config.c src/cli/ensemble.c src/cli/ensemble.h src/cli/event.c src/cli/event.h \
	src/cli/exec.c src/cli/follow.c src/cli/follow.h src/cli/locks.c src/cli/loop.c src/cli/loop.h src/cli/main.c \
	src/cli/node.c src/cli/options.c src/cli/options.h src/cli/output.c src/cli/output.h \
	src/cli/process.c src/cli/process.h src/cli/resign.c src/cli/sandbox.c src/cli/status.c \
	src/cli/tempdir.c src/cli/tempdir.h src/cli/watch.c
odezk_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
odezk_LDADD = libodezk.la $(JANSSON_LIBS)
