# The crash-fast leave; included by local.mk, behind what the integration tests share.
IT_TESTS += it/test_reaper
check_PROGRAMS += it/victim

it_test_reaper_SOURCES = it/test_reaper.c
it_test_reaper_CFLAGS = $(IT_COMPILE)
it_test_reaper_LDFLAGS = $(IT_LINK)
it_test_reaper_LDADD = it/libharness.la

it_victim_SOURCES = it/victim.c
it_victim_LDFLAGS = $(IT_LINK)
it_victim_LDADD = libodezk.la
