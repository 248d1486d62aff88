"""The confusion matrix as a table."""

from __future__ import annotations

from allencv_al.reports.confusion_table import confusion_table


def test_shares_are_those_of_the_rows_and_cells_lead_to_places() -> None:
    links = {(0, 1): "there"}
    table = confusion_table([[90, 10], [0, 0]], ("cat", "dog"), links=links)
    assert table.columns == ["true \\ predicted", "cat", "dog", "right"]
    assert table.rows == [["cat", "90", "10", "90.0%"], ["dog", "·", "·", "–"]]
    # The roots of the shares
    assert [cell and (cell[0], round(cell[1], 3)) for cell in table.shades[0]] == [
        ("right", 0.949),
        ("wrong", 0.316),
        None,
    ]
    assert table.links == {(0, 2): "there"}  # after the name of the row


def test_of_very_many_classes_the_worst_pairs_lead_to_places() -> None:
    classes = [f"class {number}" for number in range(100)]
    matrix = [[int(row == column) * 8 for column in range(100)] for row in range(100)]
    matrix[7][9] = 2
    matrix[3][4] = 1
    table = confusion_table(matrix, classes, links={(3, 4): "there"})
    assert table.rows == [
        ("class 7", "class 9", "2", "20.0%"),
        ("class 3", "class 4", "1", "11.1%"),
    ]
    assert table.links == {(1, 2): "there"}
