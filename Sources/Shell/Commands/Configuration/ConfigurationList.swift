internal import ControlClient

/// `roost configuration list`
enum ConfigurationList {
  private struct Catalogue: Encodable { var configurations: [CatalogueEntry] }

  static let command: Command = Command(
    "configuration list", "the catalogue", purpose: "Lists the sizes that instances can have.",
    examples: ["roost configuration list"],
    run: { context in
      let items = try context.client().configurations()
      try context.show(Catalogue(configurations: items), names: items.map(\.name)) {
        var table = Table("NAME", "VCPU", "MEMORY", "GPUS", "UNITS/S")
        func plain(_ value: Double) -> String {
          value == value.rounded() ? String(Int64(value)) : String(value)
        }
        for item in items {
          table.add(
            item.name, plain(item.cpus), Quantity.bytes(item.memoryBytes), String(item.gpus),
            plain(item.unitsPerSecond))
        }
        return table.text
      }
    })
}
