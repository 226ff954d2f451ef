libcore_la_SOURCES += \
	src/base/buf.c src/base/buf.h src/base/clock.c src/base/clock.h src/base/error.c src/base/error.h \
	src/base/fork.c src/base/fork.h src/base/line.c src/base/line.h src/base/list.h src/base/log.c src/base/log.h \
	src/base/log4c.c src/base/log4c.h src/base/map.c src/base/map.h src/base/mem.c src/base/mem.h src/base/repeat.c \
	src/base/repeat.h src/base/thread.c src/base/thread.h src/base/trouble.c src/base/trouble.h
