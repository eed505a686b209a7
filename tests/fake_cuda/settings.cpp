/* SPDX-License-Identifier: Apache-2.0
 * Settings, and which call is made to fail. */
#include "internal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

struct asked {
    bool set;
    std::string value;
};

static std::mutex lock;
static std::map<std::string, asked> settings; /* by fake_set; over the environment's */
static std::map<std::string, uint64_t> calls;
static uint64_t all_calls, random_state;
static std::string failed = "-";

static std::string find_setting(const char *name)
{
    auto found = settings.find(name);
    if (found != settings.end())
        return found->second.set ? found->second.value : "";
    const char *value = getenv((std::string("FAKE_CUDA_") + name).c_str());
    return value ? value : "";
}

std::string setting(const char *name)
{
    std::lock_guard<std::mutex> guard(lock);
    return find_setting(name);
}

void fake_set(const char *name, const char *value)
{
    std::lock_guard<std::mutex> guard(lock);
    settings[name] = asked{value != NULL, value ? value : ""};
    random_state = 0;
}

uint64_t fake_calls(void)
{
    std::lock_guard<std::mutex> guard(lock);
    return all_calls;
}

uint64_t fake_calls_of(const char *name)
{
    std::lock_guard<std::mutex> guard(lock);
    return calls[name];
}

void restart_faults()
{
    std::lock_guard<std::mutex> guard(lock);
    calls.clear();
    all_calls = random_state = 0;
}

static void write_report()
{
    const size_t leaks = fake_leaks(true);
    std::lock_guard<std::mutex> guard(lock);
    FILE *f = fopen(find_setting("REPORT").c_str(), "we");
    if (f == NULL)
        return;
    fprintf(f, "%llu %zu %s\n", (unsigned long long)all_calls, leaks, failed.c_str());
    fclose(f);
}

/* Under lock. When what it tells of is there already, so that it is told before that is gone. */
static void report_at_exit()
{
    static bool registered = false;
    if (!registered && !find_setting("REPORT").empty())
        registered = atexit(write_report) == 0;
}

static bool is_picked(const char *call, uint64_t of_all, uint64_t of_name)
{
    std::string fail = find_setting("FAIL");
    if (fail.empty())
        return false;
    size_t colon = fail.find(':');
    if (colon == std::string::npos)
        return strtoull(fail.c_str(), NULL, 10) == of_all;
    return fail.compare(0, colon, call) == 0 && strtoull(&fail[colon + 1], NULL, 10) == of_name;
}

bool fake_fails(const char *call)
{
    std::lock_guard<std::mutex> guard(lock);
    uint64_t of_all = ++all_calls, of_name = ++calls[call];
    report_at_exit();
    if (!is_picked(call, of_all, of_name))
        return false;
    failed = call;
    return true;
}

int64_t told_ns(const char *name)
{
    const std::string all = setting("TIME"), work = name;
    if (all.empty())
        return -1;
    for (size_t at = 0; at < all.size();) {
        const size_t colon = all.find(':', at), comma = std::min(all.find(',', at), all.size());
        if (colon < comma && work.find(all.substr(at, colon - at)) != std::string::npos)
            return (int64_t)strtoull(&all[colon + 1], NULL, 10);
        at = comma + 1;
    }
    return 0;
}

enum order order()
{
    std::string order = setting("ORDER");
    return order == "eager" ? EAGER : order.compare(0, 3, "any") == 0 ? ANY : LATE;
}

/* xorshift64*, Vigna 2016 */
uint32_t chance()
{
    std::lock_guard<std::mutex> guard(lock);
    if (random_state == 0) {
        std::string order = find_setting("ORDER");
        uint64_t seed = order.size() > 4 ? strtoull(&order[4], NULL, 10) : 0;
        random_state = (seed + 1) * 0x9e3779b97f4a7c15ull;
    }
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 0x2545f4914f6cdd1dull >> 32);
}
