/* Scores 1 for a number within a relative tolerance of the gold answer, `config = { tolerance = 0.01 }`, and else 0.
 *
 * An answer that is not a number scores 0. A gold answer that is not a number is an error.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alft.h"

static alft_str text(const char *s)
{
    return (alft_str){(const uint8_t *)s, strlen(s)};
}

/* Parses all of the text as a number. Returns NaN for any other text. */
static double number(alft_str s)
{
    char copy[64];
    if (s.len == 0 || s.len >= sizeof copy) return NAN;
    memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    if (strspn(copy, "+-.0123456789eE") != s.len) return NAN;
    char *end;
    double value = strtod(copy, &end);
    return *end == '\0' && isfinite(value) ? value : NAN;
}

/* Returns the tolerance of {} or {"tolerance":NUMBER}, as the host writes it, and NaN for any other configuration. */
static double tolerance(alft_str config)
{
    static const char HEAD[] = "{\"tolerance\":";
    const size_t head = sizeof HEAD - 1;
    if (config.len == 2) return 1e-6;
    if (config.len <= head + 1 || memcmp(config.ptr, HEAD, head) != 0) return NAN;
    return number((alft_str){config.ptr + head, config.len - head - 1});
}

static int32_t describe(const alft_host *host, alft_str config, alft_manifest *manifest)
{
    if (!(tolerance(config) >= 0)) {
        host->fail(host->context, text("the only key is tolerance, a number of at least 0: config = { tolerance = 0.01 }"));
        return ALFT_FAILED;
    }
    manifest->name = text("close");
    manifest->version = text("0.1.0");
    manifest->summary = text("Scores 1 for a number within a relative tolerance of the gold answer.");
    manifest->score_low = 0;
    manifest->score_high = 1;
    return ALFT_OK;
}

static int32_t score(const alft_host *host, alft_str config, const alft_prompt_texts *batch, size_t len, double *scores)
{
    const double allowed = tolerance(config);
    for (const alft_prompt_texts *q = batch; q < batch + len; q++) {
        const double wanted = number(q->prompt.gold);
        if (isnan(wanted)) {
            host->fail(host->context, text("a prompt's gold answer is missing or not a number; add the right number as `gold`"));
            return ALFT_FAILED;
        }
        for (size_t i = 0; i < q->texts_len; i++)
            *scores++ = fabs(number(q->texts[i]) - wanted) <= allowed * fabs(wanted);
    }
    return ALFT_OK;
}

const alft_plugin *alft_plugin_v1(void)
{
    static const alft_plugin PLUGIN = {
        .size = sizeof PLUGIN,
        .version = ALFT_VERSION,
        .describe = describe,
        .score = score,
    };
    return &PLUGIN;
}
