#ifndef UNDERSTUDY_PROVENANCE_H_
#define UNDERSTUDY_PROVENANCE_H_

// Where a file's episodes come from, and whether a model was trained on any of them.
//
// An episode is known by its mark (us_dataset_marks) in whatever file it stands. A file of another
// program, or of another number of rows an episode, has other marks though its episodes may start
// as these do; so the seed and policy of a collection are noted too. A file that is made of others
// (edit.h) names what those were collected with, or their contents: its sources.
//
// Threads: as for datasets, calls come from one thread at a time.

#include <cjson/cJSON.h>

#include "datasets/dataset.h"
#include "worldmodel/base/api.h"

US_C_BEGIN

// The sources of a file in the format of us_dataset_sources, of one that was not made of others the
// line of itself. *text is the caller's to free, NULL on failure. The first call reads the whole
// file.
US_API UsStatus us_provenance_sources(UsDataset* d, char** text);

// One of the sources.
typedef struct UsSource {
  char content[24], frames[24];  // digits of their hashes
  char seed[24], policy[64];     // seed "-": not collected by a simulator
} UsSource;

// Reads the line at `at` of such a text and gives the next, or NULL where there is none.
US_API const char* us_source_next(const char* at, UsSource* s);

// Adds to what a training notes of a file all that us_provenance_seen looks for.
US_API UsStatus us_provenance_note(UsDataset* d, cJSON* file);

// *episodes: how many of the file's are, as notes of training say at any depth, among those trained
// on: by their marks, or all of them by the content of a source, by its frames (film of it) or by
// what it was collected with, task, seed and policy. Two parts of one file have what their marks
// share.
US_API UsStatus us_provenance_seen(UsDataset* d, const cJSON* notes, int64_t* episodes);

US_C_END

#endif  // UNDERSTUDY_PROVENANCE_H_
