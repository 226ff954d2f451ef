# The crash-fast leave: the library's side, and the helper, which waits in one program and acts in another.
libcore_la_SOURCES += \
	src/reaper/launch.c src/reaper/launch.h src/reaper/reaper.c src/reaper/reaper.h src/reaper/record.h
AM_CPPFLAGS += -DODEZK_LIBEXECDIR='"$(pkglibexecdir)"'

pkglibexec_PROGRAMS = odezk-reaper odezk-reaper-close

# It is measured by its memory: no sanitizer.
odezk_reaper_SOURCES = src/reaper/main.c src/reaper/record.h
odezk_reaper_CFLAGS = -std=c11 $(WARN_CFLAGS)
odezk_reaper_LDFLAGS =

# Each library more to load is time lost: only those that it uses.
odezk_reaper_close_SOURCES = src/reaper/close.c src/reaper/record.h
odezk_reaper_close_LDFLAGS = $(AM_LDFLAGS) -Wl,--as-needed
odezk_reaper_close_LDADD = libcore.la

EXTRA_DIST += doc/reaper.md
