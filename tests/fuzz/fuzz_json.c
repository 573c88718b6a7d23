// libFuzzer: any bytes as JSON, and what parses as the config of a predictor and of an encoder. A
// predictor's config that was taken must survive being written and read again.

#include <string.h>

#include "worldmodel/base/file.h"
#include "worldmodel/predictor.h"
#include "worldmodel/vit.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

static void try_predictor(const cJSON* json) {
  UsPredictorConfig c, again;
  if (us_predictor_config_parse("fuzz", json, &c) != US_OK) return;
  cJSON* written = us_predictor_config_json(&c);
  US_ASSERT(written && us_predictor_config_parse("fuzz", written, &again) == US_OK);
  US_ASSERT(memcmp(&c, &again, sizeof(c)) == 0);
  cJSON_Delete(written);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cJSON* json;
  if (us_json_parse("fuzz", (const char*)data, size, &json) != US_OK) {
    US_ASSERT(!json && us_message()[0]);
    return 0;
  }
  UsVitConfig vit;
  int grid;
  char text[16];
  try_predictor(json);
  try_predictor(cJSON_GetObjectItemCaseSensitive(json, "predictor"));
  us_vit_config_parse("fuzz", json, &vit, &grid);
  us_json_text("fuzz", json, "encoder", "", text, sizeof(text));
  cJSON_Delete(json);
  return 0;
}
