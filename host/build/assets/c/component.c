/* The exports of a component in C: the interfaces of wit/objective.wit, on top of the author's `alft_plugin`.
 *
 * `alft plugin build` compiles this file for wasm32 together with the author's file. It defines ALFT_READER, ALFT_GRADER,
 * ALFT_VERIFIER and ALFT_OBJECTIVE for the roles of plugin.toml. The wit_ structs are the contract's records in the layout
 * of the canonical ABI: a list is a pointer and a length, an option or a result is a byte followed by the value. Text has
 * the layout of alft_str on wasm32, and is used without a copy. Arguments of functions are flattened.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alft.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* ---- Memory: the blocks of a call are freed after it. ---- */

typedef struct block { struct block *next; size_t size; _Alignas(16) uint8_t bytes[]; } block;

static block *blocks;

static void *allocate(size_t count, size_t each)
{
    size_t size;
    block *new;
    if (__builtin_mul_overflow(count, each, &size) || size > SIZE_MAX - sizeof(block)) __builtin_trap();
    if (!(new = malloc(sizeof(block) + size))) __builtin_trap();
    *new = (block){.next = blocks, .size = size};
    blocks = new;
    return new->bytes;
}

/* The host allocates arguments through this function. */
EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    (void)align; /* at most 8; blocks are aligned to 16 */
    void *new = allocate(size, 1);
    if (old_size) memcpy(new, old, old_size < size ? old_size : size);
    return new;
}

static void free_blocks(void)
{
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* The pointer of an empty text is arbitrary, and may be null, which means "none" in the header. */
static alft_str text(alft_str s)
{
    return s.len ? s : (alft_str){(const uint8_t *)"", 0};
}

static alft_str copy(alft_str s)
{
    uint8_t *bytes = allocate(s.len, 1);
    if (s.len) memcpy(bytes, s.ptr, s.len);
    return (alft_str){bytes, s.len};
}

static alft_str *texts(alft_str *list, size_t len)
{
    for (size_t i = 0; i < len; i++) list[i] = text(list[i]);
    return list;
}

/* ---- The host's functions, for the author's code. ---- */

__attribute__((import_module("alft:objective/diagnostics@1.0.0"), import_name("log")))
void diagnostics_log(uint32_t level, const uint8_t *ptr, size_t len);

typedef struct option_str { uint8_t some; alft_str value; } option_str;

/* The results of a call so far. */
typedef struct call { alft_str failure; option_str *keys; size_t keys_len, keys_wanted; } call;

static void on_log(void *context, uint32_t level, alft_str message)
{
    (void)context;
    diagnostics_log(level < 3 ? level : 3, message.ptr, message.len);
}

static void on_fail(void *context, alft_str message)
{
    ((call *)context)->failure = copy(message);
}

static void on_key(void *context, alft_str key)
{
    call *state = context;
    if (state->keys_len < state->keys_wanted)
        state->keys[state->keys_len] = key.ptr ? (option_str){1, copy(key)} : (option_str){0};
    state->keys_len++;
}

static alft_host host(call *state)
{
    return (alft_host){.size = sizeof(alft_host), .context = state, .log = on_log, .fail = on_fail, .key = on_key};
}

static alft_str literal(const char *text)
{
    return (alft_str){(const uint8_t *)text, strlen(text)};
}

static alft_str failure(const call *state)
{
    return state->failure.ptr ? state->failure : literal("the plugin failed without a reason; pass it to alft_host.fail");
}

/* ---- about ---- */

typedef struct { alft_str name, version, summary;
                 struct { uint8_t some; double low, high; } score_range;
                 uint8_t concave, gradient, needs_reference; } wit_manifest;
typedef struct { uint8_t error; union { wit_manifest manifest; alft_str message; }; } described;
_Static_assert(sizeof(wit_manifest) == 56 && sizeof(described) == 64, "the canonical ABI's layout");

/* Returns an error if the author's struct lacks a role of plugin.toml. */
static const char *missing_role(const alft_plugin *plugin)
{
    (void)plugin;
#ifdef ALFT_READER
    if (!plugin->read) return "plugin.toml names the role reader, and alft_plugin.read is NULL";
#endif
#ifdef ALFT_GRADER
    if (!plugin->grade) return "plugin.toml names the role grader, and alft_plugin.grade is NULL";
#endif
#ifdef ALFT_VERIFIER
    if (!plugin->score) return "plugin.toml names the role verifier, and alft_plugin.score is NULL";
#endif
#ifdef ALFT_OBJECTIVE
    if (!plugin->evaluate) return "plugin.toml names the role objective, and alft_plugin.evaluate is NULL";
#endif
    return NULL;
}

EXPORT("alft:objective/about@1.0.0#describe") described *about_describe(const uint8_t *config, size_t config_len)
{
    call state = {0};
    alft_host callbacks = host(&state);
    alft_manifest m = {.size = sizeof m, .score_low = NAN, .score_high = NAN};
    described *reply = memset(allocate(1, sizeof *reply), 0, sizeof *reply);
    const char *missing = missing_role(alft_plugin_v1());
    if (missing || alft_plugin_v1()->describe(&callbacks, text((alft_str){config, config_len}), &m) != ALFT_OK) {
        reply->error = 1;
        reply->message = missing ? literal(missing) : failure(&state);
        return reply;
    }
    reply->manifest = (wit_manifest){
        m.name, m.version, m.summary,
        {!isnan(m.score_low) || !isnan(m.score_high), m.score_low, m.score_high},
        m.concave != 0, m.gradient != 0, m.needs_reference != 0,
    };
    return reply;
}

EXPORT("cabi_post_alft:objective/about@1.0.0#describe") void after_describe(described *reply)
{
    (void)reply;
    free_blocks();
}

/* ---- Prompts with texts, for readers, graders and verifiers. ---- */

typedef struct { alft_str id, text; option_str gold; alft_str metadata; } wit_prompt;
typedef struct { wit_prompt prompt; alft_str *texts; size_t texts_len; } wit_prompt_texts;
typedef struct { void *ptr; size_t len; } wit_list;
typedef struct { uint8_t error; union { wit_list values; alft_str message; }; } listed;
_Static_assert(sizeof(wit_prompt) == 36 && sizeof(wit_prompt_texts) == 44 && sizeof(listed) == 12,
               "the canonical ABI's layout");

static inline alft_prompt prompt(const wit_prompt *p)
{
    alft_str gold = p->gold.some ? text(p->gold.value) : (alft_str){0};
    return (alft_prompt){text(p->id), text(p->text), gold, text(p->metadata)};
}

static inline alft_prompt_texts *prompt_texts(const wit_prompt_texts *batch, size_t len, size_t *total)
{
    alft_prompt_texts *out = allocate(len, sizeof *out);
    *total = 0;
    for (size_t i = 0; i < len; i++) {
        alft_str *list = texts(batch[i].texts, batch[i].texts_len);
        out[i] = (alft_prompt_texts){prompt(&batch[i].prompt), list, batch[i].texts_len};
        *total += batch[i].texts_len;
    }
    return out;
}

static inline listed *list_reply(int32_t status, const call *state, void *values, size_t len)
{
    listed *reply = allocate(1, sizeof *reply);
    if (status == ALFT_OK)
        *reply = (listed){.values = {values, len}};
    else
        *reply = (listed){.error = 1, .message = failure(state)};
    return reply;
}

/* One number for each text, by a grader or a verifier. */
static inline listed *scores_reply(
    int32_t (*score)(const alft_host *, alft_str, const alft_prompt_texts *, size_t, double *),
    const uint8_t *config, size_t config_len, const wit_prompt_texts *batch, size_t len)
{
    call state = {0};
    alft_host callbacks = host(&state);
    size_t total;
    alft_prompt_texts *entries = prompt_texts(batch, len, &total);
    /* The host refuses NaN: a number that the author forgets to write is not taken for a score. */
    double *scores = allocate(total, sizeof *scores);
    for (size_t i = 0; i < total; i++) scores[i] = NAN;
    int32_t status = score(&callbacks, text((alft_str){config, config_len}), entries, len, scores);
    wit_list *by_entry = allocate(len, sizeof *by_entry);
    for (size_t i = 0, at = 0; i < len; at += entries[i].texts_len, i++)
        by_entry[i] = (wit_list){scores + at, entries[i].texts_len};
    return list_reply(status, &state, by_entry, len);
}

/* ---- reader ---- */

#ifdef ALFT_READER
EXPORT("alft:objective/reader@1.0.0#read")
listed *reader_read(const uint8_t *config, size_t config_len, wit_prompt_texts *batch, size_t len)
{
    call state = {0};
    alft_host callbacks = host(&state);
    alft_prompt_texts *entries = prompt_texts(batch, len, &state.keys_wanted);
    state.keys = allocate(state.keys_wanted, sizeof *state.keys);
    int32_t status = alft_plugin_v1()->read(&callbacks, text((alft_str){config, config_len}), entries, len);
    if (status == ALFT_OK && state.keys_len != state.keys_wanted) {
        status = ALFT_FAILED;
        state.failure = literal("read did not call alft_host.key once for each completion");
    }
    wit_list *keys = allocate(len, sizeof *keys);
    for (size_t i = 0, at = 0; i < len; at += entries[i].texts_len, i++)
        keys[i] = (wit_list){state.keys + at, entries[i].texts_len};
    return list_reply(status, &state, keys, len);
}

EXPORT("cabi_post_alft:objective/reader@1.0.0#read") void after_read(listed *reply)
{
    (void)reply;
    free_blocks();
}
#endif

/* ---- grader ---- */

#ifdef ALFT_GRADER
EXPORT("alft:objective/grader@1.0.0#grade")
listed *grader_grade(const uint8_t *config, size_t config_len, wit_prompt_texts *batch, size_t len)
{
    return scores_reply(alft_plugin_v1()->grade, config, config_len, batch, len);
}

EXPORT("cabi_post_alft:objective/grader@1.0.0#grade") void after_grade(listed *reply)
{
    (void)reply;
    free_blocks();
}
#endif

/* ---- verifier ---- */

#ifdef ALFT_VERIFIER
EXPORT("alft:objective/verifier@1.0.0#score")
listed *verifier_score(const uint8_t *config, size_t config_len, wit_prompt_texts *batch, size_t len)
{
    return scores_reply(alft_plugin_v1()->score, config, config_len, batch, len);
}

EXPORT("cabi_post_alft:objective/verifier@1.0.0#score") void after_score(listed *reply)
{
    (void)reply;
    free_blocks();
}
#endif

/* ---- objective ---- */

#ifdef ALFT_OBJECTIVE
typedef struct { alft_str key; uint32_t count; double *scores; size_t scores_len;
                 double frequency, leave_one_out, surprisal, pooled_surprisal, reference_probability,
                        pooled_reference_probability; } wit_answer;
typedef struct { wit_prompt prompt; uint32_t size; wit_answer *answers; size_t answers_len; } wit_group;
typedef struct { alft_str id; alft_str *verifiers; size_t verifiers_len; double multiplier; uint8_t exact;
                 wit_group *groups; size_t groups_len; } wit_bundle;
typedef struct { double utility; wit_list rewards; struct { uint8_t some; double value; } violation; } wit_valuation;
_Static_assert(sizeof(wit_answer) == 72 && sizeof(wit_group) == 48, "the canonical ABI's layout");
_Static_assert(sizeof(wit_bundle) == 40 && sizeof(wit_valuation) == 32, "the canonical ABI's layout");

static alft_group group(const wit_group *g)
{
    alft_answer *answers = allocate(g->answers_len, sizeof *answers);
    for (size_t i = 0; i < g->answers_len; i++) {
        const wit_answer *a = &g->answers[i];
        answers[i] = (alft_answer){text(a->key), a->count, a->scores, a->frequency, a->leave_one_out, a->surprisal,
                                   a->pooled_surprisal, a->reference_probability, a->pooled_reference_probability};
    }
    return (alft_group){prompt(&g->prompt), g->size, answers, g->answers_len};
}

static alft_bundle bundle(const wit_bundle *b)
{
    alft_group *groups = allocate(b->groups_len, sizeof *groups);
    for (size_t i = 0; i < b->groups_len; i++) groups[i] = group(&b->groups[i]);
    return (alft_bundle){text(b->id), texts(b->verifiers, b->verifiers_len), b->verifiers_len, b->multiplier, b->exact,
                         groups, b->groups_len};
}

EXPORT("alft:objective/objective@1.0.0#evaluate")
listed *objective_evaluate(const uint8_t *config, size_t config_len, wit_bundle *batch, size_t len)
{
    call state = {0};
    alft_host callbacks = host(&state);
    alft_bundle *bundles = allocate(len, sizeof *bundles);
    size_t total = 0;
    for (size_t i = 0; i < len; i++) {
        bundles[i] = bundle(&batch[i]);
        for (size_t j = 0; j < bundles[i].groups_len; j++) total += bundles[i].groups[j].answers_len;
    }
    /* The host refuses a utility or reward of NaN; a violation of NaN means "none". */
    double *utilities = allocate(len, sizeof(double)), *violations = allocate(len, sizeof(double));
    double *rewards = allocate(total, sizeof(double));
    for (size_t i = 0; i < len; i++) utilities[i] = violations[i] = NAN;
    for (size_t i = 0; i < total; i++) rewards[i] = NAN;
    alft_str configuration = text((alft_str){config, config_len});
    int32_t status = alft_plugin_v1()->evaluate(&callbacks, configuration, bundles, len, utilities, violations, rewards);

    wit_valuation *valuations = allocate(len, sizeof *valuations);
    for (size_t i = 0; i < len; i++) {
        wit_list *groups = allocate(bundles[i].groups_len, sizeof *groups);
        for (size_t j = 0; j < bundles[i].groups_len; j++) {
            groups[j] = (wit_list){rewards, bundles[i].groups[j].answers_len};
            rewards += groups[j].len;
        }
        valuations[i] = (wit_valuation){utilities[i], {groups, bundles[i].groups_len}, {!isnan(violations[i]), violations[i]}};
    }
    return list_reply(status, &state, valuations, len);
}

EXPORT("cabi_post_alft:objective/objective@1.0.0#evaluate") void after_evaluate(listed *reply)
{
    (void)reply;
    free_blocks();
}
#endif
