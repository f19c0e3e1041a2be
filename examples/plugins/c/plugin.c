/* A number that is close enough to the gold answer: within a relative tolerance, `config = { tolerance = 0.01 }`.
 *
 * What is no number scores 0. A gold answer that is no number is an error: nothing could be right.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alft.h"

static alft_str text(const char *words)
{
    return (alft_str){(const uint8_t *)words, strlen(words)};
}

/* The number that the whole of the text is; NaN for any other text. */
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

/* The tolerance of {} or {"tolerance":NUMBER}, the host's spelling; NaN for any other configuration. */
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
        host->fail(host->context, text("the one key is tolerance, a number of 0 or more: config = { tolerance = 0.01 }"));
        return ALFT_FAILED;
    }
    manifest->name = text("close");
    manifest->version = text("0.1.0");
    manifest->summary = text("Scores 1 for a number within a relative tolerance of the gold answer.");
    manifest->score_low = 0;
    manifest->score_high = 1;
    return ALFT_OK;
}

static int32_t score(const alft_host *host, alft_str config, const alft_question *batch, size_t len, double *scores)
{
    const double allowed = tolerance(config);
    for (const alft_question *q = batch; q < batch + len; q++) {
        const double wanted = number(q->prompt.gold);
        if (isnan(wanted)) {
            host->fail(host->context, text("a prompt's gold answer is missing or no number; give it the right number"));
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
