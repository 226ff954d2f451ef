libcore_la_SOURCES += \
	src/session/conn.c src/session/dispatch.c src/session/dispatch.h src/session/internal.h src/session/lease.c \
	src/session/lease.h src/session/port.h src/session/renewal.c src/session/request.c src/session/resolve.c \
	src/session/resolve.h src/session/session.c src/session/session.h src/session/silence.c src/session/timer.c \
	src/session/timer.h src/session/watch.c src/session/zkport.c
