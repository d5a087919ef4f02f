/// The services that this server answers beside those of its nodes. `api/proto` holds the texts.
extension ProtoFile {
  /// Every file, with what it imports before it.
  public static let served: [ProtoFile] = [
    structure, timestamp, any, status, nodeService, executionError, apiEndpoint, apiEndpointService, iamToken,
    operation,
    operationService, health, openInference,
    reflection("v1"), reflection("v1alpha"),
  ]

  /// Files of Google's that are served but are not ours to publish.
  public static let foreign: [ProtoFile] = [structure, timestamp, any, status]

  public static let nodeService = ProtoFile(
    "yandex/cloud/datasphere/v1/node_service.proto", package: "yandex.cloud.datasphere.v1",
    imports: ["google/protobuf/struct.proto"],
    messages: [
      Message(
        "NodeExecutionRequest",
        [
          Field("folder_id", 1, .string, comment: "Must be in the node's access list."),
          Field("node_id", 2, .string),
          Field("input", 3, .message("google.protobuf.Struct"), comment: "The input variables of the cell."),
        ]),
      Message(
        "NodeExecutionResponse",
        [Field("output", 1, .message("google.protobuf.Struct"), comment: "The output variables of the cell.")]
      ),
      Message(
        "AliasExecutionRequest",
        [
          Field("folder_id", 1, .string, comment: "Must be in the alias's access list."),
          Field("alias_name", 2, .string), Field("input", 3, .message("google.protobuf.Struct")),
        ]),
      Message("AliasExecutionResponse", [Field("output", 1, .message("google.protobuf.Struct"))]),
    ],
    services: [
      Service(
        "NodeService",
        [
          Method(
            "Execute", "yandex.cloud.datasphere.v1.NodeExecutionRequest",
            "yandex.cloud.datasphere.v1.NodeExecutionResponse", comment: "Runs the cell of a node once."),
          Method(
            "ExecuteAlias", "yandex.cloud.datasphere.v1.AliasExecutionRequest",
            "yandex.cloud.datasphere.v1.AliasExecutionResponse",
            comment: "Runs the cell of the node that an alias chooses."),
        ])
    ])

  public static let executionError = ProtoFile(
    "yandex/cloud/datasphere/v1/node_execution_error_details.proto", package: "yandex.cloud.datasphere.v1",
    messages: [
      Message(
        "NodeExecutionErrorDetails",
        [
          Field("error_name", 1, .string), Field("error_message", 2, .string),
          Field("traceback", 3, .string, .repeated),
        ], comment: "What Python raised in the cell; a detail of the call's status.")
    ])

  public static let apiEndpoint = ProtoFile(
    "yandex/cloud/endpoint/api_endpoint.proto", package: "yandex.cloud.endpoint",
    messages: [
      Message(
        "ApiEndpoint",
        [
          Field("id", 1, .string, comment: "Of a service: iam, datasphere, operation..."),
          Field("address", 2, .string, comment: "host:port"),
        ])
    ])

  public static let apiEndpointService = ProtoFile(
    "yandex/cloud/endpoint/api_endpoint_service.proto", package: "yandex.cloud.endpoint",
    imports: ["yandex/cloud/endpoint/api_endpoint.proto"],
    messages: [
      Message("GetApiEndpointRequest", [Field("api_endpoint_id", 1, .string)]),
      Message("ListApiEndpointsRequest", [Field("page_size", 1, .int64), Field("page_token", 2, .string)]),
      Message(
        "ListApiEndpointsResponse",
        [
          Field("endpoints", 1, .message("yandex.cloud.endpoint.ApiEndpoint"), .repeated),
          Field("next_page_token", 2, .string),
        ]),
    ],
    services: [
      Service(
        "ApiEndpointService",
        [
          Method("Get", "yandex.cloud.endpoint.GetApiEndpointRequest", "yandex.cloud.endpoint.ApiEndpoint"),
          Method(
            "List", "yandex.cloud.endpoint.ListApiEndpointsRequest",
            "yandex.cloud.endpoint.ListApiEndpointsResponse"),
        ], comment: "Where services are: all of them at this server.")
    ])

  public static let iamToken = ProtoFile(
    "yandex/cloud/iam/v1/iam_token_service.proto", package: "yandex.cloud.iam.v1",
    imports: ["google/protobuf/timestamp.proto"],
    messages: [
      Message(
        "CreateIamTokenRequest",
        [
          Field("yandex_passport_oauth_token", 1, .string, oneof: "identity"),
          Field(
            "jwt", 2, .string, oneof: "identity",
            comment: "Signed with an authorized key of a service account (PS256)."),
        ]),
      Message(
        "CreateIamTokenResponse",
        [Field("iam_token", 1, .string), Field("expires_at", 2, .message("google.protobuf.Timestamp"))]),
      Message("CreateIamTokenForServiceAccountRequest", [Field("service_account_id", 1, .string)]),
      Message("RevokeIamTokenRequest", [Field("iam_token", 1, .string)]),
      Message("RevokeIamTokenResponse", [Field("subject_id", 1, .string)]),
    ],
    services: [
      Service(
        "IamTokenService",
        [
          Method(
            "Create", "yandex.cloud.iam.v1.CreateIamTokenRequest",
            "yandex.cloud.iam.v1.CreateIamTokenResponse",
            comment: "Exchanges a signed JWT for a token."),
          Method(
            "CreateForServiceAccount", "yandex.cloud.iam.v1.CreateIamTokenForServiceAccountRequest",
            "yandex.cloud.iam.v1.CreateIamTokenResponse",
            comment: "Makes a token of a service account; for admins of its folder."),
          Method(
            "Revoke", "yandex.cloud.iam.v1.RevokeIamTokenRequest",
            "yandex.cloud.iam.v1.RevokeIamTokenResponse",
            comment: "Ends a token at once. Who holds it may end it: no other credential is asked for."),
        ])
    ])

  public static let operation = ProtoFile(
    "yandex/cloud/operation/operation.proto", package: "yandex.cloud.operation",
    imports: ["google/protobuf/any.proto", "google/rpc/status.proto", "google/protobuf/timestamp.proto"],
    messages: [
      Message(
        "Operation",
        [
          Field("id", 1, .string), Field("description", 2, .string),
          Field("created_at", 3, .message("google.protobuf.Timestamp")), Field("created_by", 4, .string),
          Field("modified_at", 5, .message("google.protobuf.Timestamp")), Field("done", 6, .bool),
          Field("metadata", 7, .message("google.protobuf.Any")),
          Field("error", 8, .message("google.rpc.Status"), oneof: "result"),
          Field("response", 9, .message("google.protobuf.Any"), oneof: "result"),
        ])
    ])

  public static let operationService = ProtoFile(
    "yandex/cloud/operation/operation_service.proto", package: "yandex.cloud.operation",
    imports: ["yandex/cloud/operation/operation.proto"],
    messages: [
      Message("GetOperationRequest", [Field("operation_id", 1, .string)]),
      Message("CancelOperationRequest", [Field("operation_id", 1, .string)]),
    ],
    services: [
      Service(
        "OperationService",
        [
          Method("Get", "yandex.cloud.operation.GetOperationRequest", "yandex.cloud.operation.Operation"),
          Method(
            "Cancel", "yandex.cloud.operation.CancelOperationRequest", "yandex.cloud.operation.Operation"),
        ])
    ])

  public static let health = ProtoFile(
    "grpc/health/v1/health.proto", package: "grpc.health.v1",
    messages: [
      Message("HealthCheckRequest", [Field("service", 1, .string)]),
      Message(
        "HealthCheckResponse",
        [Field("status", 1, .enumeration("grpc.health.v1.HealthCheckResponse.ServingStatus"))],
        enums: [EnumType("ServingStatus", ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"])]),
    ],
    services: [
      Service(
        "Health",
        [
          Method("Check", "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse"),
          Method(
            "Watch", "grpc.health.v1.HealthCheckRequest", "grpc.health.v1.HealthCheckResponse",
            serverStreams: true),
        ])
    ])

  /// Server reflection; both versions have the same messages.
  public static func reflection(_ version: String) -> ProtoFile {
    let package = "grpc.reflection.\(version)"
    return ProtoFile(
      "grpc/reflection/\(version)/reflection.proto", package: package,
      messages: [
        Message(
          "ServerReflectionRequest",
          [
            Field("host", 1, .string), Field("file_by_filename", 3, .string, oneof: "message_request"),
            Field("file_containing_symbol", 4, .string, oneof: "message_request"),
            Field(
              "file_containing_extension", 5, .message("\(package).ExtensionRequest"),
              oneof: "message_request"),
            Field("all_extension_numbers_of_type", 6, .string, oneof: "message_request"),
            Field("list_services", 7, .string, oneof: "message_request"),
          ]),
        Message(
          "ExtensionRequest", [Field("containing_type", 1, .string), Field("extension_number", 2, .int32)]),
        Message(
          "ServerReflectionResponse",
          [
            Field("valid_host", 1, .string),
            Field("original_request", 2, .message("\(package).ServerReflectionRequest")),
            Field(
              "file_descriptor_response", 4, .message("\(package).FileDescriptorResponse"),
              oneof: "message_response"),
            Field(
              "all_extension_numbers_response", 5, .message("\(package).ExtensionNumberResponse"),
              oneof: "message_response"),
            Field(
              "list_services_response", 6, .message("\(package).ListServiceResponse"),
              oneof: "message_response"),
            Field("error_response", 7, .message("\(package).ErrorResponse"), oneof: "message_response"),
          ]),
        Message("FileDescriptorResponse", [Field("file_descriptor_proto", 1, .bytes, .repeated)]),
        Message(
          "ExtensionNumberResponse",
          [Field("base_type_name", 1, .string), Field("extension_number", 2, .int32, .repeated)]),
        Message(
          "ListServiceResponse", [Field("service", 1, .message("\(package).ServiceResponse"), .repeated)]),
        Message("ServiceResponse", [Field("name", 1, .string)]),
        Message("ErrorResponse", [Field("error_code", 1, .int32), Field("error_message", 2, .string)]),
      ],
      services: [
        Service(
          "ServerReflection",
          [
            Method(
              "ServerReflectionInfo", "\(package).ServerReflectionRequest",
              "\(package).ServerReflectionResponse", clientStreams: true, serverStreams: true)
          ])
      ])
  }
}
