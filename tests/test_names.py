from recon_bench.names import hint


def test_the_nearest_name_is_suggested_and_a_far_one_is_not():
    assert hint("fpb", ["sgd", "fbp"]) == "; did you mean 'fbp'?"
    assert hint("sirt", ["astra-sirt", "cgls"]) == "; did you mean 'astra-sirt'?"
    assert hint("nowhere", ["landweber", "resnet"]) == "" == hint("fbp", [])
