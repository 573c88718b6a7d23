#ifndef UNDERSTUDY_SURVEY_H_
#define UNDERSTUDY_SURVEY_H_

// Reading a dataset file of any program that writes the layout of dataset.h: ours, and those of
// stable-worldmodel. Columns that training does not need may be missing (state, proprio, pixels,
// time, counters), integers may have 32 or 64 bits, floats too, flags may be h5py's bool.
//
// Small columns are read in windows of whole episodes and frames in blocks, so memory is bounded by
// the longest episode.
//
// Threads: as for datasets, calls come from one thread at a time.

#include "datasets/dataset.h"
#include "datasets/files/dataset_check.h"
#include "datasets/verify.h"

typedef struct UsSurvey UsSurvey;

// Opens a file, checks its columns' types and extents, its episodes and its bounds. On failure *out
// is NULL and the message names the column or episode. Nullable: config.
UsStatus us_survey_open(const char* path, const UsSurveyConfig* config, UsSurvey** out);

// NULL is fine.
void us_survey_close(UsSurvey* s);

// Sizes are 0 for columns that are not there; dt is 0 when the file does not say.
const UsDatasetInfo* us_survey_info(const UsSurvey* s);

// Which program wrote the file, in words, and whether it was ours.
const char* us_survey_writer(const UsSurvey* s);
int us_survey_ours(const UsSurvey* s);

// The columns of the file that are not read, separated by commas; "": none.
const char* us_survey_left(const UsSurvey* s);

// Reads the next episodes, as many as make a window, and checks every row. *more 1: *first and
// *count are set and the columns hold their rows; 0: all had been read before. On failure it is 0.
UsStatus us_survey_next(UsSurvey* s, int64_t* first, int64_t* count, int* more);

// Lengths and offsets of all episodes, the other columns of the window.
const UsDatasetColumns* us_survey_columns(const UsSurvey* s);

// Reads `rows` frames from row `first` of the file on and compares them with their checksums:
// pixels (rows, H, W, 3).
UsStatus us_survey_pixels(UsSurvey* s, int64_t first, int64_t rows, uint8_t* pixels);

// Rows of frames that are read best at once; 0 without pixels.
int64_t us_survey_block(const UsSurvey* s);

#endif  // UNDERSTUDY_SURVEY_H_
