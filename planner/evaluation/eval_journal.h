#ifndef UNDERSTUDY_EVAL_JOURNAL_H_
#define UNDERSTUDY_EVAL_JOURNAL_H_

// The finished batches of an evaluation in progress, in a file beside its JSON, so that a stopped
// run can go on. Every record carries its own hash: what a kill or a full disk cut off is noticed
// and left out.
//
// Threads: one journal at a time, from one thread.

#include "planner/evaluate.h"
#include "worldmodel/base/file.h"

typedef struct UsJournal UsJournal;

// Opens the journal at `path` for a run that `key`, a hash, names. resume: the records of an
// earlier run stay; one of another key is refused. Otherwise the journal starts empty. On failure
// *out is NULL.
UsStatus us_journal_open(const char* path, const char key[US_HASH_CHARS], int resume,
                         UsJournal** out);

// The row whose episodes the next calls mean.
void us_journal_row(UsJournal* j, int row);

// UsEvaluation's keep and recall; `keeper` is the journal.
UsStatus us_journal_keep(void* keeper, const UsResult* r, int first, int n);
UsStatus us_journal_recall(void* keeper, UsResult* r, int* done);

// Closes the journal; `remove`: the run is complete and its file goes. NULL is fine.
void us_journal_close(UsJournal* j, int remove);

#endif  // UNDERSTUDY_EVAL_JOURNAL_H_
