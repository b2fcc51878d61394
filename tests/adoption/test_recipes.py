"""What is added to the frameworks' own agents is little, and the README shows all of it."""

import re
from pathlib import Path

import pytest

from tests.adoption.recipe import Misfit
from tests.adoption.recipes import RECIPES

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


def test_one_line_a_tool_and_at_most_five_others(recipe):
    tools = [one for change in recipe.changes for one in change.additions if one.decorates]
    assert all(one.before.startswith("async def ") for one in tools)
    assert len({(one.before) for one in tools}) == len(tools) >= 2
    assert len(recipe.others) <= 5


def test_the_readme_shows_what_is_added(recipe):
    shown = re.search(
        rf"<!-- {recipe.framework}:[^\n]*-->\n```diff\n(.*?)\n```\n<!-- end -->", README, re.DOTALL
    ).group(1)
    assert shown == recipe.as_diff()
    assert recipe.commit in README


def test_lines_are_put_where_they_belong_and_nothing_is_taken_away(recipe, tmp_path):
    written = {}
    for change in recipe.changes:
        path = tmp_path / change.path
        path.write_text("".join(f"    {one.before} ...\n" for one in change.additions))
        written[path] = path.read_text()
    recipe.apply(tmp_path)
    for change in recipe.changes:
        path = tmp_path / change.path
        lines = path.read_text().splitlines()
        assert lines == [part for one in change.additions for part in (f"    {one.line}", f"    {one.before} ...")]
        assert [line for line in written[path].splitlines() if line not in lines] == []


def test_another_agent_than_the_recipes_is_refused(recipe, tmp_path):
    for change in recipe.changes:
        (tmp_path / change.path).write_text("nothing\n")
    with pytest.raises(Misfit, match="occurs 0 times"):
        recipe.apply(tmp_path)
