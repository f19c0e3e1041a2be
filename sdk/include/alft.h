/* The contract of alft's plugins for native libraries, version 1: the same contract as wit/objective.wit. Its Rust twin
 * is src/abi.rs of the crate alft-sdk.
 *
 * A library exports one function whose name begins with alft_plugin_v1 and which returns a pointer to a static struct.
 * Memory never changes hands: arguments belong to the host for the duration of the call, numbers are written into
 * buffers of the host, and texts are returned through callbacks that copy them. A callback may be called during a call,
 * on the thread of that call. Nothing may unwind into the host. The host makes one call at a time.
 *
 * Every function is pure: the same arguments give the same result, bit for bit. Entries of a batch are independent: the
 * host splits and merges batches freely. `config` is the plugin's table of the run file, as a JSON object.
 *
 * This header never changes. Later contracts come with another entry symbol.
 */
#ifndef ALFT_H
#define ALFT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ALFT_VERSION 1u

/* The status that a call returns. Before any other than ALFT_OK, pass the reason to alft_host.fail. */
enum { ALFT_OK = 0, ALFT_FAILED = 1, ALFT_PANICKED = 2 };

/* UTF-8 text. A null pointer is "none" where an option is meant. */
typedef struct alft_str { const uint8_t *ptr; size_t len; } alft_str;

typedef struct alft_prompt {
    alft_str id;
    alft_str text;     /* the question, without the chat template around it */
    alft_str gold;     /* the known right answer, or none; a reader never sees it */
    alft_str metadata; /* a JSON object, at least "{}" */
} alft_prompt;

/* A prompt with completions (reader and grader) or distinct answer keys (verifier). */
typedef struct alft_prompt_texts {
    alft_prompt prompt;
    const alft_str *texts;
    size_t texts_len;
} alft_prompt_texts;

/* A class of equal answers within a group. */
typedef struct alft_answer {
    alft_str key;
    uint32_t count;               /* completions of the group that gave this answer; 0 if probabilities are exact */
    const double *scores;         /* one for each verifier of the bundle */
    double frequency;             /* count / group size, or the exact probability nu */
    double leave_one_out;         /* (count - 1) / (group size - 1), or the exact nu */
    double surprisal;             /* estimate of -log nu */
    double pooled_surprisal;      /* estimate of -log of the mean of nu over the bundle's prompts */
    double reference_probability; /* estimate of nu under the reference policy, if the manifest asks for it */
    double pooled_reference_probability; /* mean of reference_probability over the bundle's prompts */
} alft_answer;

typedef struct alft_group {
    alft_prompt prompt;
    uint32_t size;              /* sampled completions, those without an answer included; 0: exact probabilities */
    const alft_answer *answers; /* sorted by the bytes of their keys */
    size_t answers_len;
} alft_group;

/* Prompts that ask the same question. */
typedef struct alft_bundle {
    alft_str id;
    const alft_str *verifiers; /* names, in the order of alft_answer.scores */
    size_t verifiers_len;
    double multiplier;         /* current price mu >= 0 of this objective's violation, set by the host */
    uint32_t exact;            /* 1: probabilities are exact rather than estimated from samples */
    const alft_group *groups;
    size_t groups_len;
} alft_bundle;

/* Filled by describe. The host reads it only after ALFT_OK. The texts stay valid until the next call of the library. */
typedef struct alft_manifest {
    uint32_t size;            /* of this struct, set by the host */
    alft_str name;
    alft_str version;
    alft_str summary;         /* one sentence */
    double score_low;         /* verifier and grader: the range of scores; NaN for none */
    double score_high;
    uint32_t concave;         /* objective: 1 if the utility is concave in the answer marginals */
    uint32_t gradient;        /* objective: 1 if rewards are the bundle size times the gradient of the utility */
    uint32_t needs_reference; /* objective: 1 if it uses alft_answer.reference_probability */
} alft_manifest;

/* The functions that the host offers during a call. Pass `context` to each. */
typedef struct alft_host {
    uint32_t size; /* of this struct */
    void *context;
    void (*log)(void *context, uint32_t level, alft_str message); /* 0 error, 1 warn, 2 info, 3 debug */
    void (*fail)(void *context, alft_str message);
    void (*key)(void *context, alft_str key); /* read: once for each completion, in order; none: no answer */
} alft_host;

/* The functions of a plugin. Every plugin has describe; a role that it does not have is NULL. */
typedef struct alft_plugin {
    uint32_t size;    /* of this struct */
    uint32_t version; /* ALFT_VERSION */

    /* Checks the configuration, and describes the plugin under it. */
    int32_t (*describe)(const alft_host *host, alft_str config, alft_manifest *manifest);

    /* Reader: calls host->key once for each completion of each entry, in order. */
    int32_t (*read)(const alft_host *host, alft_str config, const alft_prompt_texts *batch, size_t len);

    /* Grader: writes one finite number for each completion of each entry, in order. */
    int32_t (*grade)(const alft_host *host, alft_str config, const alft_prompt_texts *batch, size_t len, double *scores);

    /* Verifier: writes one finite number for each answer of each entry, in order. */
    int32_t (*score)(const alft_host *host, alft_str config, const alft_prompt_texts *batch, size_t len, double *scores);

    /* Objective: writes a utility and a violation (NaN for none) for each bundle, and one reward for each answer of
     * each group of each bundle, in order. A completion without an answer gets the lesser of 0 and the lowest reward of
     * its group, so 0 should mean worthless. */
    int32_t (*evaluate)(const alft_host *host, alft_str config, const alft_bundle *batch, size_t len,
                        double *utilities, double *violations, double *rewards);
} alft_plugin;

/* The entry symbol. It may have a suffix, as in alft_plugin_v1_entropy. */
const alft_plugin *alft_plugin_v1(void);

#ifdef __cplusplus
}
#endif

#endif
