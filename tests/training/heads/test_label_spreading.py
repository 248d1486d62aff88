"""Label spreading, against scikit-learn and brute force."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.semi_supervised import LabelSpreading

from allencv_al.training.heads.label_spreading import (
    PoolEmbeddings,
    assign_classes,
    nearest_neighbors,
    neighbor_graph,
    spread_labels,
    weighted_means,
)


def draw_unit_vectors(count=80, width=6, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_graph_is_that_of_every_pair(monkeypatch):
    monkeypatch.setattr("allencv_al.training.heads.label_spreading._BLOCK_ROWS", 17)
    vectors = draw_unit_vectors()
    cosines = vectors.astype(np.float64) @ vectors.T
    np.fill_diagonal(cosines, -2)
    weights = np.zeros_like(cosines)
    for row, values in enumerate(cosines):
        for column in np.argsort(-values)[:10]:
            weights[row, column] = max(values[column], 0) ** 3
    weights += weights.T
    degrees = weights.sum(axis=1)
    expected = weights / np.sqrt(np.outer(degrees, degrees))
    np.testing.assert_allclose(neighbor_graph(vectors).toarray(), expected, atol=1e-6)


def test_labels_spread_as_in_scikit_learn():
    vectors = draw_unit_vectors()
    graph = neighbor_graph(vectors)
    labels = np.full(80, -1)
    labels[:9] = np.arange(9) % 3

    class WithOurGraph(LabelSpreading):
        def _build_graph(self):
            return graph.toarray()

    oracle = WithOurGraph(alpha=0.9, max_iter=2000, tol=1e-12).fit(vectors, labels)
    spread = spread_labels(graph, np.arange(9), np.eye(3)[labels[:9]], alpha=0.9, steps=400)
    ours = spread / spread.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, oracle.label_distributions_, atol=1e-6)


def test_many_steps_solve_the_linear_system():
    graph = neighbor_graph(draw_unit_vectors())
    targets = np.eye(2)
    start = np.zeros((80, 2))
    start[:2] = targets
    exact = 0.1 * np.linalg.solve(np.eye(80) - 0.9 * graph.toarray(), start)
    found = spread_labels(graph, np.arange(2), targets, alpha=0.9, steps=300)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_more_labels_of_a_class_give_it_no_more_mass():
    graph = csr_matrix(np.zeros((4, 4)))
    spread = spread_labels(graph, np.array([0, 1, 2]), np.array([[1, 0], [1, 0], [0, 1]]))
    np.testing.assert_allclose(spread.sum(axis=0)[0], spread.sum(axis=0)[1])


def test_an_island_without_labels_stays_without_a_class():
    graph = csr_matrix(np.kron(np.eye(2), np.ones((3, 3)) / 3))
    assigned = assign_classes(spread_labels(graph, np.array([0]), np.eye(1, 2)))
    assert (assigned[:3, 0] > 0.9).all()
    np.testing.assert_array_equal(assigned[3:], 0.0)


def test_an_image_between_two_classes_hardly_counts():
    assigned = assign_classes(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    np.testing.assert_allclose(assigned, [[1, 0], [0, 1], [0, 0]], atol=1e-12)


def two_clouds(count=60, seed=1):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    centers = np.array([[3.0, 0, 0, 0], [0, 3.0, 0, 0]])
    embeddings = (centers[labels] + generator.normal(0, 0.7, (count, 4))).astype(np.float32)
    return [f"{row}.jpg" for row in range(count)], embeddings, labels


@pytest.mark.parametrize("most_nodes", [20, 1000])
def test_one_label_a_class_reaches_its_cloud(most_nodes, monkeypatch):
    monkeypatch.setattr("allencv_al.training.heads.label_spreading._MOST_NODES", most_nodes)
    ids, embeddings, labels = two_clouds()
    pool = PoolEmbeddings(ids, embeddings)
    graph = pool.graph([ids[8], ids[3]])
    assert min(most_nodes, 60) <= len(graph.rows) <= most_nodes + 2
    assert {8, 3} <= set(graph.rows.tolist())
    assigned = graph.assign([ids[8], ids[3]], np.eye(2))
    certain = assigned.sum(axis=1) > 0.1
    right = assigned.argmax(axis=1) == labels[graph.rows]
    assert certain.sum() > len(graph.rows) / 2
    assert right[certain].mean() > 0.95
    expected = [embeddings[labels == c].mean(axis=0) for c in (0, 1)]
    found = weighted_means(graph.scaled_nodes(), assigned)
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_the_graph_is_computed_once_while_its_images_are_the_same():
    ids, embeddings, _ = two_clouds()
    pool = PoolEmbeddings(ids, embeddings)
    assert pool.graph(ids[:2]) is pool.graph(ids[:5])


def test_a_large_pool_searches_again_for_new_labels_alone(monkeypatch):
    place = "allencv_al.training.heads.label_spreading"
    monkeypatch.setattr(f"{place}._MOST_NODES", 20)
    searched = []

    def counted(features, first=0):
        searched.append(len(features) - first)
        return nearest_neighbors(features, first)

    monkeypatch.setattr(f"{place}.nearest_neighbors", counted)
    ids, embeddings, _ = two_clouds()
    pool = PoolEmbeddings(ids, embeddings)
    base = {ids[row] for row in pool.graph([]).rows}
    new = [id for id in ids if id not in base]
    pool.graph(new[:2])
    later = pool.graph(new[:5])
    assert searched == [20, 2, 5]
    # What a round before asked for changes nothing
    alone = PoolEmbeddings(ids, embeddings).graph(new[:5])
    targets = np.eye(2)[[0, 1, 0, 1, 0]]
    np.testing.assert_array_equal(later.assign(new[:5], targets), alone.assign(new[:5], targets))


def test_a_label_of_an_image_outside_the_pool_is_left_out():
    ids, embeddings, _ = two_clouds()
    graph = PoolEmbeddings(ids, embeddings).graph(ids[:1])
    assigned = graph.assign(["elsewhere.jpg", ids[0]], np.eye(2)[::-1])
    assert (assigned[:, 1] == 0).all()


def test_a_pool_of_one_image_has_no_neighbors():
    pool = PoolEmbeddings(["a"], np.ones((1, 3), np.float32))
    assigned = pool.graph(["a"]).assign(["a"], np.eye(1, 2))
    np.testing.assert_array_equal(assigned, [[1.0, 0.0]])
