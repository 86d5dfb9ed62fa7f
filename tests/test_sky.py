import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky

from gen5astro.errors import FormatError, ShapeError
from gen5astro.sky import (
    connect,
    distinct_places,
    effective_number,
    group_objects,
    nearest_object,
    separation_arcsec,
    sky_cell,
)

LIMIT = 10.0


def scatter(rng, n, *, ra, dec, width_arcsec):
    """Positions scattered around a place, right ascension wrapped into [0, 360)."""
    step = rng.uniform(-width_arcsec, width_arcsec, (2, n)) / 3600.0
    return (ra + step[0] / np.cos(np.radians(np.clip(dec, -89.9, 89.9)))) % 360.0, np.clip(dec + step[1], -90.0, 90.0)


def group_by_definition(ra, dec, host_id):
    """Groups by union-find over astropy's own list of close pairs."""
    parent = list(range(len(ra)))

    def root(node):
        while parent[node] != node:
            node = parent[node]
        return node

    located = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    sky = SkyCoord(ra[located], dec[located], unit="deg")
    first, second, _, _ = search_around_sky(sky, sky, LIMIT * u.arcsec)
    for one, other in zip(located[first], located[second], strict=True):
        parent[root(other)] = root(one)
    for name in set(host_id) - {""}:
        members = np.flatnonzero(host_id == name)
        for member in members[1:]:
            parent[root(member)] = root(members[0])
    roots = [root(node) for node in range(len(ra))]
    seen = {}
    return np.array([seen.setdefault(each, len(seen)) for each in roots])


@pytest.mark.parametrize(
    ("ra", "dec"), [(150.0, 2.0), (0.0, -30.0), (359.9999, 60.0), (10.0, 90.0), (200.0, -90.0), (77.0, 89.99)]
)
def test_groups_are_those_of_astropys_pairs_everywhere_on_the_sky(ra, dec):
    rng = np.random.default_rng(5)
    ra, dec = scatter(rng, 300, ra=ra, dec=dec, width_arcsec=100.0)
    host_id = np.where(rng.random(300) < 0.2, rng.integers(0, 40, 300).astype(str), "")
    lost = rng.random(300) < 0.1
    ra[lost] = np.nan
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=LIMIT)
    assert 1 < groups.max() < 299
    np.testing.assert_array_equal(groups, group_by_definition(ra, dec, host_id))


def test_neighbors_across_the_wrap_and_the_pole_share_a_group():
    ra, dec = np.array([359.9995, 0.0005, 10.0, 190.0]), np.array([0.0, 0.0, 89.9995, 89.9995])
    groups = group_objects(ra, dec, np.full(4, ""), min_separation_arcsec=LIMIT)
    np.testing.assert_array_equal(groups, [0, 0, 1, 1])


def test_a_chain_of_neighbors_and_hosts_is_one_group():
    ra = np.array([10.0, 10.002, 10.004, 50.0, 50.002, 80.0])
    host_id = np.array(["", "", "a", "a", "", "b"])
    groups = group_objects(ra, np.zeros(6), host_id, min_separation_arcsec=LIMIT)
    np.testing.assert_array_equal(groups, [0, 0, 0, 0, 0, 1])


def test_objects_without_a_position_are_grouped_by_host_or_stay_alone():
    ra = np.array([np.nan, np.nan, np.nan, np.nan, 3.0])
    host_id = np.array(["a", "", "", "a", "a"])
    groups = group_objects(ra, np.where(np.isnan(ra), np.nan, 1.0), host_id, min_separation_arcsec=LIMIT)
    np.testing.assert_array_equal(groups, [0, 1, 2, 0, 0])


def test_groups_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    ra, dec = scatter(rng, 400, ra=20.0, dec=10.0, width_arcsec=120.0)
    order = rng.permutation(400)
    groups = group_objects(ra, dec, np.full(400, ""), min_separation_arcsec=LIMIT)
    shuffled = group_objects(ra[order], dec[order], np.full(400, ""), min_separation_arcsec=LIMIT)
    together = groups[order][:, None] == groups[order]
    np.testing.assert_array_equal(shuffled[:, None] == shuffled, together)


def test_many_injections_into_one_host_cost_no_pairs():
    ra, dec = np.repeat([10.0, 20.0], 50_000), np.zeros(100_000)
    groups = group_objects(ra, dec, np.full(100_000, ""), min_separation_arcsec=LIMIT)
    np.testing.assert_array_equal(groups, np.repeat([0, 1], 50_000))


def test_no_objects_make_no_groups():
    empty = np.empty(0)
    assert group_objects(empty, empty, empty.astype(str), min_separation_arcsec=LIMIT).size == 0
    assert effective_number([]) == 0.0


def test_an_impossible_declination_is_named():
    with pytest.raises(FormatError, match=r"column dec: got 210.5; .*swapped"):
        group_objects([1.0, -12.0], [2.0, 210.5], ["", ""], min_separation_arcsec=LIMIT)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="one length"):
        group_objects([1.0], [2.0, 3.0], [""], min_separation_arcsec=LIMIT)


def test_separation_is_astropys():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, (2, 500)), rng.uniform(-90, 90, (2, 500))
    expected = SkyCoord(ra[0], dec[0], unit="deg").separation(SkyCoord(ra[1], dec[1], unit="deg")).arcsec
    np.testing.assert_allclose(separation_arcsec(ra[0], dec[0], ra[1], dec[1]), expected, rtol=1e-12)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9995, 45.0), (120.0, 90.0), (10.0, -90.0)])
def test_the_nearest_object_is_astropys(ra, dec):
    rng = np.random.default_rng(3)
    place, others = (
        scatter(rng, 200, ra=ra, dec=dec, width_arcsec=60),
        scatter(rng, 50, ra=ra, dec=dec, width_arcsec=60),
    )
    nearest, separation = nearest_object(*place, *others)
    expected, apart, _ = SkyCoord(*place, unit="deg").match_to_catalog_sky(SkyCoord(*others, unit="deg"))
    np.testing.assert_array_equal(nearest, expected)
    np.testing.assert_allclose(separation, apart.arcsec, rtol=1e-9, atol=1e-9)


def test_effective_number_is_the_count_where_groups_are_equal_and_one_where_one_rules():
    assert effective_number(np.repeat(np.arange(30), 7)) == pytest.approx(30.0)
    assert effective_number(["a"] * 1000 + ["b"]) == pytest.approx(1.0, abs=0.01)


def test_cells_cover_the_sky_with_about_equal_areas():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000)))
    _, members = np.unique(sky_cell(ra, dec, size_deg=10.0), return_counts=True)
    assert len(members) == pytest.approx(41253 / 100, rel=0.05)
    assert members[members > 0].std() / members.mean() < 0.15


def test_a_cell_holds_no_two_objects_farther_apart_than_its_size_allows():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 100_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 100_000)))
    cell = sky_cell(ra, dec, size_deg=5.0)
    for each in rng.choice(np.unique(cell), 50, replace=False):
        some, others = ra[cell == each], dec[cell == each]
        away = separation_arcsec(some[:, None], others[:, None], some, others) / 3600.0
        assert away.max() < 5.0 * 2**0.5 * 1.5


def test_positions_at_the_edges_of_the_sky_have_a_cell_and_unknown_ones_have_none():
    cells = sky_cell([0.0, 360.0, -0.0, 12.0, 90.0, np.nan], [0.0, 0.0, 0.0, 90.0, -90.0, 1.0], size_deg=0.1)
    assert cells[0] == cells[1] == cells[2]
    assert (cells[:5] >= 0).all()
    assert cells[5] == -1


def test_objects_are_joined_by_labels_and_places_in_any_chain():
    lost = np.nan
    ra, dec = np.array([1.0, 1.0 + 5 / 3600, 9.0, lost, lost, lost]), np.array([0.0, 0.0, 0.0, lost, lost, lost])
    labels = [np.array([-1, 4, -1, 4, -1, -1]), np.array([[0, 7], [1, 7], [2, -1], [3, -1], [9, 2], [-1, -1]])]
    assert connect(labels, ra, dec, within_arcsec=10.0).tolist() == [0, 0, 1, 0, 1, 2]
    assert connect([], ra, dec, within_arcsec=4.0).tolist() == [0, 1, 2, 3, 4, 5]
    assert connect([], ra[:0], dec[:0], within_arcsec=4.0).tolist() == []


def test_twins_are_one_group_wherever_they_are():
    groups = group_objects([1.0, 50.0, 9.0], np.zeros(3), ["a", "b", "c"], min_separation_arcsec=10.0, twins=[3, 3, 4])
    assert groups.tolist() == [0, 0, 1]


def test_distinct_places_are_found_again():
    ra, dec = np.array([5.0, 1.0, np.nan, 5.0, 1.0]), np.array([2.0, 2.0, 2.0, 2.0, 3.0])
    places, at = distinct_places(ra, dec)
    assert places.shape == (2, 3)
    assert at[2] == -1
    found = np.flatnonzero(at >= 0)
    np.testing.assert_array_equal(places[:, at[found]], [ra[found], dec[found]])
