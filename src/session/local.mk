libcore_la_SOURCES += \
	src/session/dispatch.c src/session/dispatch.h src/session/lease.c src/session/lease.h src/session/port.h \
	src/session/resolve.c src/session/resolve.h src/session/session.c src/session/session.h \
	src/session/timer.c src/session/timer.h src/session/zkport.c
