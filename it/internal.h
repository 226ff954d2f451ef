/* What the files of the harness know of each other. */
#ifndef IT_INTERNAL_H
#define IT_INTERNAL_H

#include "harness.h"

/* These end the program when there is no memory. */
void *it_alloc(size_t size); /* zeroed */
void *it_realloc(void *memory, size_t size);
char *it_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Destroys a thing at the end of the test, the newest first, if it was not forgotten before. */
void it_keep(void *thing, void (*destroy)(void *thing));
void it_forget(const void *thing);
void it_destroy_kept(void);
/* Frees the log at the end of the test. */
void it_keep_log(struct it_log *log);
/* A line that a process wrote: an event's JSON is brought into its short form. */
void it_log_add_output(struct it_log *log, const char *output);

/* Ends and forgets all processes of the test. */
void it_end_processes(void);
/* Closes the harness' own client. */
void it_zk_end(void);

/* ---- what a test may not leave (clean.c) ---- */

/* At its beginning: what there is. */
void it_look_before(void);
/* At its end, in this order. */
void it_check_znodes(void); /* takes down whatever is left there */
void it_check_children(void);
void it_check_process(void); /* threads and descriptors */

#endif
