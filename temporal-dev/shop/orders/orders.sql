CREATE TABLE `orders` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `customer_id` int unsigned NOT NULL,
  `status` varchar(20) NOT NULL DEFAULT 'new',
  `total_cents` int NOT NULL,
  `note` varchar(255) DEFAULT NULL,
  `placed_at` datetime(3) NOT NULL,
  PRIMARY KEY (`id`),
  KEY `by_customer` (`customer_id`,`placed_at`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
