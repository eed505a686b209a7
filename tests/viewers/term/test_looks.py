#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# What focal-term shows of a real focald, in a real terminal of every kind.
import re
import time

from screen import Stage, has_half_blocks, need_tmux, run_promises, until

HELP = "q quit"


def the_sound_that_plays_is_named_with_its_probability(daemon):
    with Stage(daemon=daemon) as stage:
        stage.screen.start()
        until("rooster with a probability",
              lambda: re.search(r"^ rooster +([5-9]\d|100) %", stage.screen.text(), re.M))
        until("an event", lambda: re.search(r"[▶■] \w+ in (hens|kennel)( begins|: \d)",
                                            stage.screen.text()))
        stage.screen.shows("well: named")
        stage.screen.shows(HELP)
        assert "[hens]" in stage.screen.lines()[0]


def the_picture_is_many_colours_and_moves(daemon):
    with Stage(daemon=daemon) as stage:
        stage.screen.start()
        until("a picture", lambda: len(set(
            re.findall(r"38;2;\d+;\d+;\d+", stage.screen.raw()))) > 60)
        until("half blocks", lambda: has_half_blocks(stage.screen))
        before = stage.screen.lines()[1:10]
        until("another picture", lambda: stage.screen.lines()[1:10] != before, 10)


def fewer_colours_are_taken_where_there_are_no_more(daemon):
    for colorterm, term, option, wanted, unwanted in (
            ("", "tmux-256color", "", r"38;5;\d+", "38;2;"),
            ("truecolor", "tmux-256color", "--colors 256", r"38;5;\d+", "38;2;"),
            ("", "linux", "", r"\[4[0-7]m|;4[0-7]m", "38;[25];"),
            ("truecolor", "tmux-256color", "--colors none", "[▒▓█]", "[34]8;[25];|▀")):
        with Stage(daemon=daemon, colorterm=colorterm, term=term) as stage:
            stage.screen.start("--overlay off", option)
            until(f"{wanted} with {term} {option}", lambda: len(set(
                re.findall(wanted, stage.screen.raw()))) >= 3)
            found = re.search(unwanted, stage.screen.raw())
            assert not found, f"{term} {option}: {found}"


def a_terminal_without_utf8_gets_ascii(daemon):
    for locale, option in (("C", ""), ("C.UTF-8", "--ascii")):
        with Stage(daemon=daemon, locale=locale) as stage:
            stage.screen.start(option)
            until("rooster", lambda: re.search(r"^ rooster +\d+ %", stage.screen.text(), re.M))
            until("a picture of letters", lambda: sum(
                stage.screen.text().count(c) for c in ".:-=+*#%@") > 100)
            stage.screen.text().encode("ascii")


def keys_change_overlay_zoom_and_stream_and_hold(daemon):
    with Stage(daemon=daemon) as stage:
        screen = stage.screen
        screen.start()
        screen.shows("[hens]")
        screen.shows("overlay: map")
        screen.keys("m")
        screen.shows("overlay: mask")
        screen.keys("m")
        screen.shows("overlay: off")
        screen.keys("-")
        screen.shows("+/- 20 s")
        screen.keys("+")
        screen.keys("+")
        screen.shows("+/- 5 s")
        screen.keys("Tab")
        screen.shows("[kennel]")
        until("dog", lambda: re.search(r"^ dog +\d+ %", screen.text(), re.M))
        until("half blocks", lambda: has_half_blocks(screen))
        screen.keys("1")
        screen.shows("[hens]")
        screen.keys("Right")
        screen.shows("[kennel]")
        screen.keys("BTab")
        screen.shows("[hens]")
        until("half blocks", lambda: has_half_blocks(screen))
        screen.keys("Space")
        screen.shows("held")
        held = screen.lines()[1:10]
        time.sleep(3)
        assert screen.lines()[1:10] == held, "the held picture moved"
        screen.keys("Space")
        until("a picture that moves", lambda: screen.lines()[1:10] != held)


def the_overlay_dims_what_was_not_listened_to(daemon):
    with Stage(daemon=daemon) as stage:
        # hue is gone where the mask is not: red, green and blue of a dim cell are in cold order
        def dim_cells():
            colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", stage.screen.raw())
            return sum(int(r) < int(g) < int(b) for r, g, b in colours if int(b) > 20)
        stage.screen.start("--overlay off")
        until("a picture", lambda: len(re.findall("38;2;", stage.screen.raw())) > 200)
        assert dim_cells() == 0, f"{dim_cells()} dim cells without an overlay"
        stage.screen.keys("m")
        stage.screen.keys("m")
        until("dim cells", lambda: dim_cells() > 50)


def a_stream_can_be_chosen_and_a_missing_one_is_told(daemon):
    with Stage(daemon=daemon) as stage:
        stage.screen.start("--stream kennel")
        stage.screen.shows("[kennel]")
        stage.screen.keys("q")
        stage.screen.shows("ended with 0")
        stage.screen.start("--stream attic")
        stage.screen.shows("no stream of that name")
        stage.screen.keys("Tab")
        stage.screen.shows("[hens]")


need_tmux()
run_promises(the_sound_that_plays_is_named_with_its_probability,
             the_picture_is_many_colours_and_moves,
             fewer_colours_are_taken_where_there_are_no_more,
             a_terminal_without_utf8_gets_ascii,
             keys_change_overlay_zoom_and_stream_and_hold,
             the_overlay_dims_what_was_not_listened_to,
             a_stream_can_be_chosen_and_a_missing_one_is_told)
