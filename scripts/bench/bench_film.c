// How fast film becomes a dataset: a textured H.264 clip of 480p, made here or given, to 64 pixels.
//
//   bench_film [CLIP]

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "datasets/video.h"
#include "tests/datasets/video/make_film.h"
#include "worldmodel/base/progress.h"

enum { kFrames = 300 };

// Waves that wander, with grain on them: neither flat nor noise alone.
static void texture(int frame, int x, int y, uint8_t* rgb) {
  uint32_t h = (uint32_t)(x / 4) * 73856093u ^ (uint32_t)(y / 4) * 19349663u;
  h = (h ^ (uint32_t)(frame / 3) * 83492791u) * 0x5bd1e995u;
  double wave = 127 + 100 * sin(0.03 * x + 0.1 * frame) * cos(0.02 * y - 0.05 * frame);
  for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)(0.8 * wave + (h >> (8 + 8 * i) & 31));
}

// Processor seconds of the processes that this one has started and waited for.
static double children(void) {
  struct rusage u;
  getrusage(RUSAGE_CHILDREN, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char** argv) {
  char clip[] = "/tmp/understudy-bench.mp4", out[] = "/tmp/understudy-bench.h5";
  const MakeFilm make = {.path = clip,
                         .codec = AV_CODEC_ID_H264,
                         .width = 854,
                         .height = 480,
                         .frames = kFrames,
                         .rate = 30,
                         .colour = texture};
  if (argc < 2 && !film_make(&make)) return fprintf(stderr, "no encoder of H.264\n"), 77;
  const char* const paths[] = {argc < 2 ? clip : argv[1], NULL};
  const UsImport config = {.overwrite = 1};
  UsVideoNotes notes;
  double wall = us_seconds(), cpu = us_cpu_seconds();
  UsStatus status = us_video_import(paths, out, &config, &notes);
  if (status != US_OK) return fprintf(stderr, "%s\n", us_message()), 1;
  wall = us_seconds() - wall;
  cpu = us_cpu_seconds() - cpu + children();
  printf("%lld pictures: %.0f a second, %.0f a second of one processor\n",
         (long long)notes.pictures, (double)notes.pictures / wall, (double)notes.pictures / cpu);
  remove(out);
  return argc < 2 ? remove(clip) != 0 : 0;
}
