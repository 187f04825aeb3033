"""MovieLens 100K as features, read from the copy that the PyPI package `recbole` carries.

The data's licence forbids passing it on, so it is not in this repository:

    pip install --no-deps recbole==1.2.1

Label: rating >= 4. A tenth of the ratings, drawn at random with a fixed seed, is held out; every
statistic below is of the other nine tenths, and leaves the row's own rating out.
"""

import importlib.util
import pathlib
from dataclasses import dataclass

import numpy as np

LIKED = 4
GENRES = 6    # the most that one film has
HISTORY = 50  # films of each sort that a user's history keeps
SPLIT_SEED = 20240229
HOLD_OUT = 0.1
USER_INPUTS = ("user_dense", "user_id", "gender", "occupation", "age_band", "liked", "disliked")
ITEM_INPUTS = ("item_dense", "item_id", "year_band", "genres")
INPUTS = USER_INPUTS + ITEM_INPUTS


@dataclass(frozen=True)
class MovieLens:
    user: np.ndarray         # [ratings] row of the user
    item: np.ndarray         # [ratings] row of the film
    label: np.ndarray        # [ratings] 1 where liked
    rating: np.ndarray       # [ratings] 1 to 5
    time: np.ndarray         # [ratings] Unix seconds
    train: np.ndarray        # [ratings] False where held out
    users: dict              # {"id", "age", "gender", "occupation"}: [users]
    items: dict              # {"id", "title", "year", "genres" [items, GENRES]}
    vocabulary: dict         # {"occupation", "genre"}: names by row


def find_folder():
    """Where pip put recbole's copy; the package itself is never imported."""
    spec = importlib.util.find_spec("recbole")
    folder = spec and pathlib.Path(spec.origin).parent / "dataset_example" / "ml-100k"
    if not folder or not folder.is_dir():
        raise SystemExit("movielens: the data is not here: pip install --no-deps recbole==1.2.1")
    return folder


def _read(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    columns = [name.split(":")[0] for name in lines[0].split("\t")]
    return dict(zip(columns, zip(*(line.split("\t") for line in lines[1:]))))


def load(folder=None):
    folder = pathlib.Path(folder) if folder else find_folder()
    ratings = _read(folder / "ml-100k.inter")
    users, occupations = _users(_read(folder / "ml-100k.user"))
    items, genres = _items(_read(folder / "ml-100k.item"))
    user_row = {key: row for row, key in enumerate(users["id"])}
    item_row = {key: row for row, key in enumerate(items["id"])}
    rating = np.array(ratings["rating"], np.float32)
    held_out = np.random.default_rng(SPLIT_SEED).random(len(rating)) < HOLD_OUT
    return MovieLens(
        user=np.array([user_row[key] for key in ratings["user_id"]]),
        item=np.array([item_row[key] for key in ratings["item_id"]]),
        label=(rating >= LIKED).astype(np.float32), rating=rating,
        time=np.array(ratings["timestamp"], np.float64), train=~held_out,
        users=users, items=items,
        vocabulary={"occupation": occupations, "genre": ["", *genres]})


def _users(table):
    order = np.argsort(np.array(table["user_id"], np.int64))
    occupations = sorted(set(table["occupation"]))
    return {
        "id": [table["user_id"][i] for i in order],
        "age": np.array(table["age"], np.float32)[order],
        "gender": np.array([table["gender"][i] == "F" for i in order], np.int64),
        "occupation": np.array([occupations.index(table["occupation"][i]) for i in order]),
    }, occupations


def _items(table):
    order = np.argsort(np.array(table["item_id"], np.int64))
    genres = sorted({genre for film in table["class"] for genre in film.split()})
    bags = np.zeros((len(order), GENRES), np.int64)
    for row, i in enumerate(order):
        names = table["class"][i].split()[:GENRES]
        bags[row, :len(names)] = [1 + genres.index(name) for name in names]
    years = [int(year) if year.isdigit() else 0 for year in table["release_year"]]
    return {
        "id": [table["item_id"][i] for i in order],
        "title": [_natural(table["movie_title"][i]) for i in order],
        "year": np.array(years, np.float32)[order],
        "genres": bags,
    }, genres


def _natural(title):
    """`Third Man, The` as it is said."""
    for article in (", The", ", A", ", An"):
        if title.endswith(article):
            return f"{article[2:]} {title.removesuffix(article)}"
    return title


class Features:
    """Turns rows of users and films into the model's inputs."""

    def __init__(self, data):
        self.data = data
        self.mean = float(data.rating[data.train].mean())
        self.user_sum, self.user_count = self._totals(data.user, len(data.users["id"]))
        self.item_sum, self.item_count = self._totals(data.item, len(data.items["id"]))
        self.liked = self._histories(data.label == 1)
        self.disliked = self._histories(data.label == 0)
        year = data.items["year"]
        self.year = np.where(year > 0, year, np.median(year[year > 0]))

    def _totals(self, rows, size):
        known = self.data.train
        weights = self.data.rating[known] - self.mean
        return np.bincount(rows[known], weights, size), np.bincount(rows[known], None, size)

    def _histories(self, wanted):
        """[users, HISTORY]: 1 + the films, drawn at random where there are more; 0 pads."""
        found = np.zeros((len(self.data.users["id"]), HISTORY), np.int64)
        used = np.zeros(len(found), np.int64)
        rows = np.flatnonzero(self.data.train & wanted)
        for row in np.random.default_rng(SPLIT_SEED).permutation(rows):
            user = self.data.user[row]
            if used[user] < HISTORY:
                found[user, used[user]] = 1 + self.data.item[row]
                used[user] += 1
        return found

    @staticmethod
    def _mean(total, count):
        """Stars above the average, drawn towards none by five imagined average ratings."""
        return 2 * total / (count + 5.0)

    def user_inputs(self, user, own_rating=None, own_item=None):
        """Inputs of users; own_*: one rating a row, known, that its features must not see."""
        users = self.data.users
        own, one = (0.0, 0) if own_rating is None else (own_rating - self.mean, 1)
        count = self.user_count[user] - one
        histories = [self.liked[user], self.disliked[user]]
        if own_item is not None:
            histories = [np.where(h == 1 + own_item[:, None], 0, h) for h in histories]
        dense = [(users["age"][user] - 34) / 12, self._mean(self.user_sum[user] - own, count),
                 np.log1p(count) - 4]
        return {
            "user_dense": np.stack(dense, axis=1).astype(np.float32),
            "user_id": user.astype(np.int64), "gender": users["gender"][user],
            "occupation": users["occupation"][user],
            "age_band": np.clip(users["age"][user] // 5, 0, 15).astype(np.int64),
            "liked": histories[0], "disliked": histories[1],
        }

    def item_inputs(self, item, own_rating=None):
        own, one = (0.0, 0) if own_rating is None else (own_rating - self.mean, 1)
        count = self.item_count[item] - one
        dense = [(self.year[item] - 1988) / 12, self._mean(self.item_sum[item] - own, count),
                 np.log1p(count) - 4]
        return {
            "item_dense": np.stack(dense, axis=1).astype(np.float32),
            "item_id": item.astype(np.int64),
            "year_band": np.clip((self.year[item] - 1920) // 4, 0, 19).astype(np.int64),
            "genres": self.data.items["genres"][item],
        }

    def inputs(self, rows):
        """Inputs of ratings by row; a known rating is kept out of its own features."""
        data = self.data
        user, item = data.user[rows], data.item[rows]
        if not data.train[rows].any():
            return self.user_inputs(user) | self.item_inputs(item)
        assert data.train[rows].all(), "known and held-out ratings are never mixed"
        own = data.rating[rows]
        return self.user_inputs(user, own, item) | self.item_inputs(item, own)


def auc(label, score):
    """Area under the ROC curve; equal scores share their rank."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = label > 0.5
    hits = int(positive.sum())
    return float((rank[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(label) - hits)))
