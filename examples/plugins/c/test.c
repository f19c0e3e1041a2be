#undef NDEBUG
#include <assert.h>
#include <stdio.h>

#include "plugin.c"

static double one(const char *config, const char *gold, const char *answer)
{
    alft_host host = {.size = sizeof host};
    alft_str texts[] = {text(answer)};
    alft_prompt_texts entry = {.prompt.gold = text(gold), .texts = texts, .texts_len = 1};
    double score;
    assert(alft_plugin_v1()->score(&host, text(config), &entry, 1, &score) == ALFT_OK);
    return score;
}

int main(void)
{
    assert(one("{}", "3.14159265", "3.1415927") == 1);
    assert(one("{}", "3.14159265", "3.14") == 0);
    assert(one("{\"tolerance\":0.01}", "3.14159265", "3.14") == 1);
    assert(one("{}", "2", "two") == 0 && one("{}", "2", "") == 0 && one("{}", "2", "2 apples") == 0);
    assert(one("{}", "1e3", "1000") == 1 && one("{}", "-2", "2") == 0);
    puts("passed");
}
