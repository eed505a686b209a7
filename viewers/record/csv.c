/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/csv.h"

#include <inttypes.h>
#include <string.h>

#include "viewers/record/times.h"

void csv_field(FILE *out, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    bool formula = strchr("=+-@\t\r", text[0]) != NULL;
    if (!formula && strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    if (formula)
        fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void csv_row_header(FILE *out)
{
    fputs("id,kind,stream,label,p_peak,onset,end,begins,seconds,cut,lost_samples,favourite,"
          "note,model_hash,input_file,audio_file,picture_file\r\n",
          out);
}

static void csv_time(FILE *out, int64_t t_ns)
{
    char text[64] = "";
    if (t_ns != 0)
        time_iso(t_ns, text, sizeof text);
    fprintf(out, "%s,", text);
}

void csv_row(FILE *out, const struct history_row *r)
{
    fprintf(out, "%" PRId64 ",%s,", r->id, r->kind == HISTORY_CONTINUOUS ? "continuous" : "event");
    csv_field(out, r->stream);
    fputc(',', out);
    csv_field(out, r->label);
    fputc(',', out);
    if (r->label != NULL)
        fprintf(out, "%.4f", r->p_peak);
    fputc(',', out);
    csv_time(out, r->t_onset_ns);
    csv_time(out, r->t_end_ns);
    csv_time(out, r->t_first_ns);
    fprintf(out, "%.4f,%d,%" PRId64 ",%d,", (double)r->count / 16000, r->cut, r->lost,
            r->favourite);
    const char *const rest[] = {r->note, r->model_hash, r->input_file, r->audio_file,
                                r->picture_file};
    for (int i = 0; i < 5; i++) {
        csv_field(out, rest[i]);
        fputs(i < 4 ? "," : "\r\n", out);
    }
}
