"""The network of PyTorch's CIFAR-10 tutorial: two convolutions and three linear layers.

https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """A small convolutional network for pictures of 32x32 pixels.

    Args:
        num_classes: How many classes there are.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last layer sees, float32 `[N, 84]`, of images `[N, 3, 32, 32]`."""
        features = F.max_pool2d(F.relu(self.conv1(images)), 2)
        features = F.max_pool2d(F.relu(self.conv2(features)), 2)
        return F.relu(self.fc2(F.relu(self.fc1(features.flatten(1)))))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the scores of the classes before softmax, `[N, num_classes]`."""
        return self.fc3(self.embed(images))


if __name__ == "__main__":
    net = Net()
    print(net)
    print("parameters:", sum(weight.numel() for weight in net.parameters()))
    print("scores of two random images:", tuple(net(torch.rand(2, 3, 32, 32)).shape))
