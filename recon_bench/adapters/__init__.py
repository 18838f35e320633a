"""Methods and operators of other libraries, each in a few lines: one module a library, imported when it is used.

``as_method(name, function, ...)`` of each module makes a method of a plain function, whose arguments with a default are
the settings of the method. The other functions turn an operator of ours into one of the library, and back.
``docs/adapters.md`` has an example of each.
"""
