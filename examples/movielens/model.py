"""The network: DLRM whose history bags make it know what a user liked and disliked."""

import torch
from torch import nn

DIM = 32
SIZES = {"user": 943, "item": 1682, "gender": 2, "occupation": 21, "age": 16, "year": 20}
BAGS = {"liked": 1683, "disliked": 1683, "genre": 20}  # row 0 is padding
HIDDEN = (64, 32)


class MovieLensDlrm(nn.Module):
    """The logit, and in `forward` the probability, that the user rates the film 4 or 5."""

    def __init__(self, dropout=0.4):
        super().__init__()
        for name, rows in SIZES.items():
            self.add_module(name, nn.Embedding(rows, DIM))
        for name, rows in BAGS.items():
            self.add_module(name, nn.Embedding(rows, DIM, padding_idx=0))
        for table in self.tables():
            nn.init.normal_(table.weight, std=0.05)
        for name in BAGS:
            nn.init.zeros_(self.get_submodule(name).weight[0])
        self.bottom = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, DIM), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        features = 1 + len(SIZES) + len(BAGS)
        pairs = torch.tril_indices(features, features, -1)
        self.register_buffer("left", pairs[0], persistent=False)
        self.register_buffer("right", pairs[1], persistent=False)
        width = DIM + features * (features - 1) // 2
        self.top = nn.Sequential(nn.Linear(width, HIDDEN[0]), nn.ReLU(), nn.Dropout(dropout),
                                 nn.Linear(HIDDEN[0], HIDDEN[1]), nn.ReLU(),
                                 nn.Linear(HIDDEN[1], 1))

    def tables(self):
        return [self.get_submodule(name) for name in [*SIZES, *BAGS]]

    def _bag(self, name, ids):
        """The rows' sum over the square root of their number, as in SVD++."""
        count = (ids != 0).float().sum(1, keepdim=True)
        return self.get_submodule(name)(ids).sum(1) / count.clamp(min=1).sqrt()

    def logit(self, user_dense, user_id, gender, occupation, age_band, liked, disliked,
              item_dense, item_id, year_band, genres):
        dense = self.bottom(torch.cat([user_dense, item_dense], 1))
        vectors = [self.user(user_id), self.item(item_id), self.gender(gender),
                   self.occupation(occupation), self.age(age_band), self.year(year_band),
                   self._bag("liked", liked), self._bag("disliked", disliked),
                   self._bag("genre", genres)]
        x = torch.stack([dense, *(self.dropout(vector) for vector in vectors)], 1)
        dots = torch.bmm(x, x.transpose(1, 2))[:, self.left, self.right]
        return self.top(torch.cat([dense, dots], 1)).squeeze(1)

    def forward(self, user_dense, user_id, gender, occupation, age_band, liked, disliked,
                item_dense, item_id, year_band, genres):
        return torch.sigmoid(self.logit(user_dense, user_id, gender, occupation, age_band, liked,
                                        disliked, item_dense, item_id, year_band, genres))
